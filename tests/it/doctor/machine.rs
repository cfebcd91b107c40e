//! The machine: its users, its disks, and the configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sledge::doctor::Code;
use tokio::process::Command;

use super::examination::{
    TOKEN, USE, api_calls, assert_finds, codes, doctor, doctor_after_mounting, with_sent, without_json, words,
};
use crate::fake_polar::FakePolar;
use crate::one_command::{run, shell};
use crate::readme::{assert_as_shown, blocks};
use crate::sledge_process::Home;
use crate::tool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_use_the_socket_is_told_what_stops_it() {
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    let for_user = |more: &[&str]| {
        let mut command = doctor(&home, &polar.url());
        command.args(["--uid", "54321"]).args(more);
        command
    };
    let told = run(without_json(&for_user(&[])), "").await;
    assert!(told.out.contains(&format!("user 54321 is stopped by {}", home.path().display())), "{told:?}");
    assert_finds(for_user(&[]), &[Code::SocketNotAllowed]).await;
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let told = run(without_json(&for_user(&[])), "").await;
    assert!(told.out.contains(&format!("stopped by {}", home.socket().display())), "{told:?}");
    let group =
        fs::metadata(home.socket()).map(|socket| std::os::unix::fs::MetadataExt::gid(&socket)).unwrap();
    assert_finds(for_user(&["--gid", &group.to_string()]), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_use_the_socket_is_what_the_kernel_says() {
    if !tool::is_there("setpriv", &["--reuid=54321", "--clear-groups", "true"]) {
        return;
    }
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    let (folder, socket) = (home.path(), home.socket());
    let mode = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    std::os::unix::fs::chown(folder, Some(54_321), Some(60_001)).unwrap();
    let mut verdicts = Vec::new();
    for (folder_mode, socket_mode) in
        [(0o755, 0o660), (0o750, 0o666), (0o711, 0o662), (0o070, 0o666), (0o001, 0o602)]
    {
        mode(folder, folder_mode);
        mode(&socket, socket_mode);
        for (uid, gid) in [("54321", "54321"), ("54322", "60001"), ("54322", "0"), ("54323", "54323")] {
            let mut kernel = Command::new("setpriv");
            kernel.args([
                &format!("--reuid={uid}"),
                &format!("--regid={gid}"),
                "--clear-groups",
                "test",
                "-w",
            ]);
            kernel.arg(&socket);
            let may = run(kernel, "").await.code == Some(0);
            let mut command = doctor(&home, &polar.url());
            command.args(["--uid", uid, "--gid", gid]);
            let found = codes(command).await;
            assert_eq!(found.is_empty(), may, "{uid}:{gid} {folder_mode:o} {socket_mode:o}: {found:?}");
            verdicts.push(may);
        }
    }
    assert!(verdicts.contains(&true) && verdicts.contains(&false), "{verdicts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_a_dead_sledge_left_is_found_and_told_as_the_page_has_it() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    sledge.kill_nine().await;
    assert_finds(doctor(&home, &polar.url()), &[Code::SocketStale]).await;

    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md")).unwrap();
    let blocks = blocks(&page);
    let [(sh, block), (text, shown)] = &blocks[..] else { panic!("two blocks are on the page: {blocks:?}") };
    assert_eq!((sh.as_str(), text.as_str()), ("sh", "text"));
    let mut command = shell(block);
    command.env("SLEDGE_DATA_DIR", home.path().join("data")).env("SLEDGE_SOCKET", home.socket());
    command
        .env("SLEDGE_ADMIN", "127.0.0.1:0")
        .env("SLEDGE_POLAR_URL", polar.url())
        .env("POLAR_ACCESS_TOKEN", TOKEN);
    let ended = run(command, "").await;
    assert_as_shown(&ended.out.lines().collect::<Vec<_>>(), shown, block);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_whose_file_was_removed_under_a_living_sledge_is_found() {
    let (polar, home, _sledge) = with_sent(api_calls(), &USE).await;
    fs::remove_file(home.socket()).unwrap();
    assert_finds(doctor(&home, &polar.url()), &[Code::SocketMissing]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_in_memory_is_found() {
    if !Path::new("/dev/shm").is_dir() {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::in_memory();
    let _sledge = home.start(&polar.url()).await;
    assert_finds(doctor(&home, &polar.url()), &[Code::JournalInMemory]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_in_an_empty_dir_or_in_a_containers_layer_is_found() {
    if !tool::is_there("unshare", &["--mount", "true"]) {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    let at = |path: &str| home.path().join(path).display().to_string();
    let volume = at("pods/1f/volumes/kubernetes.io~empty-dir/data");
    for folder in [&volume, &at("data"), &at("lower"), &at("upper"), &at("work")] {
        fs::create_dir_all(folder).unwrap();
    }
    let bind = format!("mount --bind '{volume}' '{}'", at("data"));
    assert_finds(doctor_after_mounting(&home, &polar, &bind), &[Code::JournalInEmptyDir]).await;
    let layers = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
    let overlay = format!("mount -t overlay overlay -o '{layers}' '{}'", at("data"));
    assert_finds(doctor_after_mounting(&home, &polar, &overlay), &[Code::JournalInContainer]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_with_less_free_than_is_to_stay_free_is_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let disk = rustix::fs::statvfs(home.path()).unwrap();
    let mut command = doctor(&home, &polar.url());
    let nearly_all = disk.f_blocks * disk.f_frsize - disk.f_frsize;
    command.env("SLEDGE_JOURNAL_LOW_WATER_BYTES", nearly_all.to_string());
    assert_finds(command, &[Code::DiskLow]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_syncs_slowly_is_found() {
    if !tool::strace_is_there() {
        return;
    }
    let polar = FakePolar::start().await;
    let home = Home::new();
    fs::create_dir(home.path().join("data")).unwrap();
    let mut command = Command::new("strace");
    // Every sync of the real process takes 150 ms longer.
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]);
    command.args(["-e", "inject=fdatasync:delay_exit=150000", env!("CARGO_BIN_EXE_sledge")]);
    command.args(words(&home, &polar.url())).env_clear().env("POLAR_ACCESS_TOKEN", TOKEN);
    assert_finds(command, &[Code::SyncSlow]).await;
    assert_eq!(fs::read_dir(home.path().join("data")).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_contradict_each_other_are_found() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let mut command = doctor(&home, &polar.url());
    command.env("SLEDGE_EVENT_BYTES_MAX", "2097152").env("SLEDGE_DELIVERY_RETRY_INTERVAL_MS_MAX", "1");
    let found = codes(command).await;
    assert!(found.len() >= 2 && found.iter().all(|code| code == "config_invalid"), "{found:?}");
}
