//! Set-ups that are well: nothing is found.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sledge::doctor::Code;
use sledge::simulator::Change;

use super::examination::{
    GRANT, TOKEN, USE, api_calls, assert_finds, assert_is_silent, doctor, doctor_after_mounting, doctor_at,
    is_drained, send, token_file, with_sent, with_words, words,
};
use crate::fake_polar::FakePolar;
use crate::one_command::sledge;
use crate::sledge_process::{Home, SledgeProcess};
use crate::tool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_up_that_was_never_started_is_well() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    assert_is_silent(doctor(&home, &polar.url())).await;
    assert!(!home.path().join("data").exists(), "it makes nothing");
    let state = polar.simulator.state();
    assert_eq!((state.events_received, state.events_inserted), (0, 0), "no event was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sledge_at_work_is_well_and_so_is_its_journal_once_it_has_stopped() {
    let (polar, home, sledge) = with_sent(api_calls(), &GRANT).await;
    send(&home, &USE).await;
    is_drained(&sledge).await;
    assert_is_silent(doctor(&home, &polar.url())).await;
    let mut for_root = doctor(&home, &polar.url());
    for_root.args(["--uid", "0", "--event", "api_usage", "--property", "units"]);
    assert_is_silent(for_root).await;
    let (status, _, log) = sledge.stop().await;
    assert!(status.success(), "{log}");
    assert_is_silent(doctor(&home, &polar.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemons_token_that_may_only_write_events_is_enough() {
    let (polar, home, _sledge) = with_sent(api_calls(), &GRANT).await;
    let scopes = [(TOKEN.to_owned(), vec!["events:write".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    let ended = assert_is_silent(doctor(&home, &polar.url())).await;
    assert!(
        ended.out.contains("could not be made"),
        "meters were not looked at, and that is said: {ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemons_and_a_callers_token_of_one_organization_are_well() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(api_calls());
    let home = Home::new();
    let file = token_file(&home, "polar_oat_daemon");
    let mut with_file = home.run_command(&polar.url());
    with_file.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(&file);
    let sledge = SledgeProcess::start(with_file, home.socket()).await;
    send(&home, &GRANT).await;
    is_drained(&sledge).await;
    let scopes = [("polar_oat_daemon".to_owned(), vec!["events:write".to_owned()])].into();
    polar.simulator.change(Change { token_scopes: Some(scopes), ..Change::default() });
    let mut command = doctor(&home, &polar.url());
    command.arg("--token-file").arg(&file);
    let ended = assert_is_silent(command).await;
    assert!(!ended.out.contains("could not be made"), "everything was looked at: {ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_file_that_is_not_the_daemons_says_nothing_of_it() {
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    polar.simulator.change(Change { accepted_tokens: Some(vec![TOKEN.to_owned()]), ..Change::default() });
    let with_file = |token: &str| {
        let file = token_file(&home, token);
        let mut command = doctor(&home, &polar.url());
        command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(file);
        command
    };
    let ended = assert_is_silent(with_file("polar_oat_revoked")).await;
    let told =
        format!("token ({} holds another token than the daemon uses", home.path().join("token").display());
    assert!(ended.out.contains(&told), "{ended:?}");
    let ended = assert_is_silent(with_file(TOKEN)).await;
    assert!(!ended.out.contains("token ("), "the same token in a file is the daemon's: {ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_whose_token_is_not_to_be_seen_is_well_and_the_units_credential_is_found_by_itself() {
    let (polar, home, sledge) = with_sent(api_calls(), &USE).await;
    let only = vec![TOKEN.to_owned()];
    polar.simulator.change(Change { accepted_tokens: Some(only), ..Change::default() });
    let mut blind = doctor(&home, &polar.url());
    blind.env_remove("POLAR_ACCESS_TOKEN");
    let ended = assert_is_silent(blind).await;
    assert!(ended.out.contains("could not be made"), "Polar was not asked, and that is said: {ended:?}");
    sledge.stop().await;
    if !tool::is_there("unshare", &["--mount", "true"]) {
        return;
    }
    // Laid over the machine's own, so that certificates and the like stay.
    let etc = home.path().join("etc");
    fs::create_dir(home.path().join("work")).unwrap();
    fs::create_dir_all(etc.join("sledge")).unwrap();
    fs::write(etc.join("sledge/polar_access_token"), TOKEN).unwrap();
    fs::set_permissions(etc.join("sledge/polar_access_token"), fs::Permissions::from_mode(0o600)).unwrap();
    let layers =
        format!("lowerdir=/etc,upperdir={},workdir={}", etc.display(), home.path().join("work").display());
    let over = format!("mount -t overlay overlay -o '{layers}' /etc");
    let with_credential = || {
        let mut command = doctor_after_mounting(&home, &polar, &over);
        command.env_remove("POLAR_ACCESS_TOKEN");
        command
    };
    assert_finds(with_credential(), &[]).await;
    fs::write(etc.join("sledge/polar_access_token"), "polar_oat_revoked").unwrap();
    assert_finds(with_credential(), &[Code::TokenUnknown]).await;
}

/// A sledge that was started as the guide and the README do: from its folder, with paths from there.
async fn as_the_guide_starts_it(polar: &FakePolar, home: &Home) -> SledgeProcess {
    let mut command =
        sledge(&["run", "--data-dir", "./data", "--socket", "./sledge.sock", "--log-format", "json"]);
    command.args(["--admin", "127.0.0.1:0", "--polar-url", &polar.url()]).current_dir(home.path());
    command.env("POLAR_ACCESS_TOKEN", TOKEN);
    SledgeProcess::start(command, home.socket()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sledge_with_paths_from_its_own_folder_is_well_however_they_are_spelt_and_where_none_is_named() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(api_calls());
    let home = Home::new();
    let sledge = as_the_guide_starts_it(&polar, &home).await;
    send(&home, &GRANT).await;
    is_drained(&sledge).await;
    let link = home.path().join("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    let named = |data: &str, socket: &str| {
        let mut command = doctor_at(&home, sledge.admin(), Some(TOKEN));
        command.args(["--data-dir", data, "--socket", socket, "--polar-url", &polar.url()]);
        command.current_dir(home.path());
        command
    };
    let at = |folder: &std::path::Path, name: &str| folder.join(name).display().to_string();
    assert_is_silent(named("./data", "./sledge.sock")).await;
    assert_is_silent(named(&at(home.path(), "data"), &at(home.path(), "sledge.sock"))).await;
    assert_is_silent(named(&at(&link, "data"), &at(&link, "sledge.sock"))).await;
    let mut unnamed = doctor_at(&home, sledge.admin(), Some(TOKEN));
    let asked = polar.simulator.state().ingest_requests;
    let ended = assert_is_silent(with_words(&unnamed, |_| true)).await;
    assert!(
        ended.out.contains("1 could not be made"),
        "no token goes where an admin address says: {ended:?}"
    );
    assert_eq!(polar.simulator.state().ingest_requests, asked);
    unnamed.args(["--polar-url", &polar.url()]);
    let ended = assert_is_silent(unnamed).await;
    assert!(!ended.out.contains("could not be made"), "everything was looked at: {ended:?}");
    assert!(polar.simulator.state().ingest_requests > asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_without_a_token_or_with_one_that_may_do_less_finds_a_sledge_that_delivers_well() {
    let polar = FakePolar::start().await;
    polar.simulator.create_meter(api_calls());
    let scopes = [
        (TOKEN.to_owned(), vec!["events:write".to_owned()]),
        ("polar_oat_own".to_owned(), vec!["meters:read".to_owned()]),
    ];
    let tokens = Some(vec![TOKEN.to_owned(), "polar_oat_own".to_owned()]);
    polar.simulator.change(Change {
        token_scopes: Some(scopes.into()),
        accepted_tokens: tokens,
        ..Change::default()
    });
    let home = Home::new();
    let sledge = as_the_guide_starts_it(&polar, &home).await;
    for is_proven in [false, true] {
        for token in [None, Some("polar_oat_own"), Some("polar_oat_of_nobody"), Some(TOKEN)] {
            let mut command = doctor_at(&home, sledge.admin(), token);
            command.args(["--polar-url", &polar.url()]);
            assert_is_silent(command).await;
        }
        if !is_proven {
            send(&home, &GRANT).await;
            is_drained(&sledge).await;
        }
    }
    let mut own = doctor_at(&home, sledge.admin(), Some("polar_oat_own"));
    own.args(["--polar-url", &polar.url()]);
    let told = assert_is_silent(own).await;
    assert!(
        told.out.contains("1 could not be made"),
        "meters were looked at by the caller's own token: {told:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_open_the_admin_socket_finds_a_sledge_that_delivers_well() {
    if !tool::is_there(
        "setpriv",
        &["--reuid=54321", "--clear-groups", env!("CARGO_BIN_EXE_sledge"), "--version"],
    ) {
        return;
    }
    let (polar, home, sledge) = with_sent(api_calls(), &GRANT).await;
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(home.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let only = vec![TOKEN.to_owned()];
    polar.simulator.change(Change { accepted_tokens: Some(only), ..Change::default() });
    // Where the address is not known either, nothing is told by the daemon at all.
    let named = words(&home, &polar.url());
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    let told = ["doctor", "--json", "--admin", sledge.admin()];
    for (words, token) in [(&told[..], None), (&told, Some("polar_oat_of_nobody")), (&named, None)] {
        let mut command = tokio::process::Command::new("setpriv");
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups", env!("CARGO_BIN_EXE_sledge")]);
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", home.path());
        command.envs(token.map(|token| ("POLAR_ACCESS_TOKEN", token)));
        assert_is_silent(command).await;
    }
}
