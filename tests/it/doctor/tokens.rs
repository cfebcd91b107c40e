//! What stands where a token should.

use sledge::doctor::Code;
use sledge::simulator::Change;

use super::examination::{
    TOKEN, USE, assert_finds, assert_is_silent, doctor, is_drained, send, token_file, without_json,
};
use crate::fake_polar::FakePolar;
use crate::one_command::run;
use crate::sledge_process::{Home, SledgeProcess};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_pasted_with_its_name_or_quotes_is_told_before_polar_refuses_it() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let file = token_file(&home, "");
    for (text, told) in [
        (format!("POLAR_ACCESS_TOKEN={TOKEN}\n"), "written as NAME=value"),
        (format!("export POLAR_ACCESS_TOKEN='{TOKEN}'\n"), "written as NAME=value"),
        (format!("\"{TOKEN}\"\n"), "quotes around the token"),
        (format!("Authorization: Bearer {TOKEN}\n"), "words or lines beside the token"),
        (format!("{TOKEN}\nfor production\n"), "words or lines beside the token"),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut command = doctor(&home, &polar.url());
        command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(&file);
        let said = run(without_json(&command), "").await;
        assert!(said.out.contains(told), "{said:?}");
        assert_finds(command, &[Code::TokenMalformed]).await;

        let mut command = home.run_command(&polar.url());
        command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(&file);
        let sledge = SledgeProcess::start(command, home.socket()).await;
        let ready = sledge.get_until("/readyz", |_, text| text.contains(told)).await;
        let (_, _, log) = sledge.stop().await;
        assert!(log.contains(told), "{log}");
        assert!(
            !log.contains("polar_oat_") && !ready.contains("polar_oat_"),
            "a token is shown: {log} {ready}"
        );
    }
    let mut in_a_variable = doctor(&home, &polar.url());
    in_a_variable.env("POLAR_ACCESS_TOKEN", format!("token={TOKEN}"));
    assert_finds(in_a_variable, &[Code::TokenMalformed]).await;
    assert_eq!(polar.simulator.requests().len(), 0, "nothing was sent to Polar");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_has_its_token_in_memory_is_not_told_to_have_none() {
    let polar = FakePolar::start().await;
    let only = vec![TOKEN.to_owned()];
    polar.simulator.change(Change { accepted_tokens: Some(only), ..Change::default() });
    let home = Home::new();
    let file = token_file(&home, TOKEN);
    let mut command = home.run_command(&polar.url());
    command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(&file);
    let sledge = SledgeProcess::start(command, home.socket()).await;
    let with_file = || {
        let mut command = doctor(&home, &polar.url());
        command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(&file);
        command
    };
    assert_is_silent(with_file()).await;
    std::fs::remove_file(&file).unwrap();
    assert_finds(with_file(), &[Code::TokenOnlyInMemory]).await;
    std::fs::write(&file, format!("TOKEN={TOKEN}")).unwrap();
    assert_finds(with_file(), &[Code::TokenOnlyInMemory, Code::TokenReadableByOthers]).await;
    send(&home, &USE).await;
    is_drained(&sledge).await;
    assert!(sledge.stop().await.0.success());
    assert_finds(with_file(), &[Code::TokenMalformed, Code::TokenReadableByOthers]).await;
}
