//! The commands beside the daemon: what they say, where they say it, and how they exit.

use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use sledge::simulator::Change;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, run_sledge, shell, sledge};
use crate::sledge_process::{Home, PATIENCE, SledgeProcess};

const GRANT: [&str; 8] =
    ["grant", "10", "--customer", "user_123", "--event", "api_usage", "--property", "units"];

/// `sledge` with these words and this socket, given this input.
async fn to_socket(words: &[&str], socket: &Path, input: &str) -> Ended {
    let mut command = sledge(words);
    command.arg("--socket").arg(socket);
    run(command, input).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn send_tells_of_each_bad_line_with_its_number_and_takes_the_others() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let good =
        |id: &str| format!(r#"{{"name":"api_usage","external_customer_id":"user_1","external_id":"{id}"}}"#);
    let input = format!(
        "{}\nnot json\n\n{}\n{}\n{}",
        good("first"),
        r#"{"name":"api_usage"}"#,
        r#"{"name":"api_usage","external_customer_id":"user_1","metadata":{"units":null}}"#,
        good("last without a line's end"),
    );
    let sent = to_socket(&["send"], &home.socket(), &input).await;
    assert_eq!(sent.code, Some(1), "{sent:?}");
    assert_eq!(sent.out, "accepted 2 events, refused 3\n");
    let told: Vec<&str> = sent.err.lines().collect();
    assert_eq!(told.len(), 3, "{sent:?}");
    assert!(told[0].starts_with("line 2: malformed_json: "), "{told:?}");
    assert!(told[1].starts_with("line 4: missing_field (external_customer_id): "), "{told:?}");
    assert!(told[2].starts_with("line 5: ") && told[2].contains("metadata.units"), "{told:?}");

    let as_json = to_socket(&["send", "--json"], &home.socket(), &input).await;
    assert_eq!(as_json.code, Some(1), "{as_json:?}");
    let answers: Vec<serde_json::Value> =
        as_json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 4, "{as_json:?}");
    for (answer, line) in answers.iter().zip([2, 4, 5]) {
        assert_eq!(answer["line"], line);
        assert_eq!(answer["ok"], false);
        for key in ["code", "field", "message"] {
            assert!(answer["error"][key].is_string(), "{answer}");
        }
    }
    assert_eq!(answers[3], serde_json::json!({"accepted": 2, "refused": 3, "refused_for_now": 0}));
    // The second time, the same ids were sent: Polar has two events.
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") >= 4.0).await;
    assert_eq!(polar.simulator.state().events_inserted, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_daemon_every_sender_exits_69_and_says_how_to_start_one() {
    let home = Home::new();
    let event = ["send", "api_usage", "--customer", "user_123"];
    for words in [&["send"][..], &event, &GRANT] {
        let ended = to_socket(words, &home.socket(), "{}\n").await;
        assert_eq!(ended.code, Some(69), "{words:?}: {ended:?}");
        for fix in ["`sledge run`", "`sledge dev`", "--socket", home.socket().to_str().unwrap()] {
            assert!(ended.err.contains(fix), "{words:?}: {ended:?}");
        }
        assert_eq!(ended.out, "");
    }
    // The file of a daemon that was killed is there, and nobody answers.
    drop(std::os::unix::net::UnixListener::bind(home.socket()).unwrap());
    let ended = to_socket(&event, &home.socket(), "").await;
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.err.contains("nobody answers") && ended.err.contains("`sledge run`"), "{ended:?}");
}

/// A door to a daemon that closes when the daemon has answered, before the answer is through.
async fn cut_after_the_ack(door: UnixListener, daemon: &Path) {
    let (mut app, _) = door.accept().await.unwrap();
    let (reader, mut writer) = UnixStream::connect(daemon).await.unwrap().into_split();
    let mut acks = BufReader::new(reader).lines();
    let mut heard = vec![0; 4_096];
    let ack = loop {
        tokio::select! {
            read = app.read(&mut heard) => {
                let read = read.unwrap();
                writer.write_all(&heard[..read]).await.unwrap();
            }
            ack = acks.next_line() => break ack.unwrap().unwrap(),
        }
    };
    assert!(ack.starts_with(r#"{"ok":true"#), "{ack}");
    drop(app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_whose_answer_was_cut_off_is_repeated_by_the_printed_command_and_counts_once() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let door = home.path().join("the door.sock");
    let listener = UnixListener::bind(&door).unwrap();
    let socket = home.socket();
    let (granted, ()) = tokio::join!(to_socket(&GRANT, &door, ""), cut_after_the_ack(listener, &socket));
    assert_eq!(granted.code, Some(75), "{granted:?}");
    assert_eq!(granted.out, "", "nothing was accepted as far as anybody knows");
    let id = granted.err.lines().next().unwrap().strip_prefix("grant ").unwrap();
    let command = granted.err.lines().last().unwrap().trim();
    assert!(command.starts_with("sledge grant 10 ") && command.contains(id), "{granted:?}");
    polar.has_events(1, PATIENCE).await;

    // The daemon is behind the same door again, and the command is run as it was printed.
    std::fs::remove_file(&door).unwrap();
    std::os::unix::fs::symlink(home.socket(), &door).unwrap();
    let repeated = run(shell(command), "").await;
    assert_eq!(repeated.code, Some(0), "{repeated:?}");
    assert!(repeated.out.contains(&format!("id {id}")), "{repeated:?}");
    sledge.scrape_until(|scrape| scrape.sum("sledge_events_delivered_total") >= 2.0).await;
    let state = polar.simulator.state();
    assert_eq!((state.events_inserted, state.events_duplicate), (1, 1), "{state:?}");
    assert_eq!(polar.simulator.external_ids(0, 10)[0].external_id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_a_script_forgot_to_set_sends_no_credits_to_nobody() {
    let home = Home::new();
    for words in [
        &["grant", "10", "--customer", "", "--event", "api_usage", "--property", "units"][..],
        &["grant", "10", "--customer", "u", "--event", "api_usage", "--property", "units", "--once", ""],
        &["send", "", "--customer", "u"],
        &["send", "api_usage", "--customer", ""],
        &["send", "api_usage", "--customer", "u", "--id", ""],
        &["polar", "customer", "create", "--email", "a@example.com", "--external-id", ""],
    ] {
        let ended = match words[0] {
            "polar" => run_sledge(words).await,
            _ => to_socket(words, &home.socket(), "").await,
        };
        assert_eq!(ended.code, Some(64), "{words:?}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_is_set_and_empty_counts_as_not_set() {
    let home = Home::new();
    let data_dir = home.path().join("data").display().to_string();
    for words in [&["explain", "x"][..], &["replay", "--since", "1h"], &["dead-letters", "list"]] {
        let mut command = sledge(words);
        command.env("SLEDGE_DATA_DIR", &data_dir).env("SLEDGE_CONFIG", "").env("SLEDGE_ADMIN_SOCKET", "");
        let ended = run(command, "").await;
        assert_eq!(ended.code, Some(69), "{words:?}: {ended:?}");
    }
    let mut command = sledge(&["journal", "check"]);
    command.env("SLEDGE_DATA_DIR", "");
    assert_ne!(run(command, "").await.code, Some(64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_tells_a_daemon_that_is_well_from_one_that_is_not_and_from_none() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let admin = sledge.admin().to_owned();
    // The listeners are open before delivery has looked around for the first time.
    sledge.get_until("/readyz", |status, _| status == 200).await;
    let status = |json: &'static [&'static str]| {
        let admin = admin.clone();
        async move { run_sledge(&[&["status", "--admin", &admin][..], json].concat()).await }
    };
    let well = status(&[]).await;
    assert_eq!(well.code, Some(0), "{well:?}");
    for start in ["lag ", "pending ", "delivered ", "dead ", "journal ", "ready ", "sledge "] {
        assert!(well.out.lines().any(|line| line.starts_with(start)), "{start}: {well:?}");
    }
    let json = status(&["--json"]).await;
    assert_eq!(json.code, Some(0), "{json:?}");
    let read: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(read["ready"], true);
    assert_eq!(read["pending"]["events"], 0);

    polar
        .simulator
        .change(Change { accepted_tokens: Some(vec!["polar_oat_other".to_owned()]), ..Change::default() });
    let event = r#"{"events":[{"name":"api_usage","external_customer_id":"user_1"}]}"#;
    assert_eq!(sledge.ingest(event).await.0, 200);
    sledge.scrape_until(|scrape| scrape.sum("sledge_held") > 0.0).await;
    let held = status(&[]).await;
    assert_eq!(held.code, Some(1), "{held:?}");
    assert!(held.out.contains("finding: delivery is held: unauthorized"), "{held:?}");
    let json = status(&["--json"]).await;
    assert_eq!(json.code, Some(1), "{json:?}");
    let read: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(read["held"], serde_json::json!(["unauthorized"]));
    assert_eq!(read["pending"]["events"], 1);

    sledge.kill_nine().await;
    let gone = status(&[]).await;
    assert_eq!(gone.code, Some(69), "{gone:?}");
    assert!(gone.err.contains("`sledge run`") && gone.err.contains("--admin"), "{gone:?}");
    assert_eq!(gone.out, "");
}

/// Every command with its help, those of commands of commands too.
async fn helps() -> Vec<(Vec<String>, String)> {
    let mut helps = Vec::new();
    let mut asked = vec![Vec::new()];
    while let Some(words) = asked.pop() {
        let mut with_help: Vec<&str> = words.iter().map(String::as_str).collect();
        with_help.push("--help");
        let help = run_sledge(&with_help).await;
        assert_eq!(help.code, Some(0), "{help:?}");
        let listed = help.out.split_once("\nCommands:\n").map(|(_, rest)| rest);
        let listed: Vec<&str> =
            listed.unwrap_or_default().lines().take_while(|line| !line.is_empty()).collect();
        for line in &listed {
            // What continues a description is indented further.
            if let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
                let name = name.split_whitespace().next().unwrap().to_owned();
                if name != "help" {
                    asked.push(words.iter().cloned().chain([name]).collect());
                }
            }
        }
        if listed.is_empty() {
            helps.push((words, help.out));
        }
    }
    helps
}

/// The command lines under "Examples:".
fn examples(help: &str) -> Vec<String> {
    let section = help.split_once("\nExamples:\n").map_or("", |(_, section)| section);
    let lines = section.lines().take_while(|line| line.starts_with("  "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The words of each `sledge` in a line of an example: without variables, redirections, pipes and remarks.
fn commands_of(line: &str) -> Vec<Vec<String>> {
    let line = line.split("   ").next().unwrap();
    let parts = line.split(['|', '<', '>', '#', '&']);
    let commands = parts.map(|part| part.split_whitespace().skip_while(|word| *word != "sledge"));
    commands
        .map(|words| words.map(str::to_owned).collect())
        .filter(|words: &Vec<_>| !words.is_empty())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_has_examples_and_every_example_makes_sense() {
    let helps = helps().await;
    let names: Vec<String> = helps.iter().map(|(words, _)| words.join(" ")).collect();
    for expected in ["run", "dev", "simulate", "send", "grant", "status"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    for (words, help) in &helps {
        let examples = examples(help);
        assert!(!examples.is_empty(), "sledge {} --help has no examples:\n{help}", words.join(" "));
        for example in examples {
            let commands = commands_of(&example);
            assert!(!commands.is_empty(), "{example}");
            for given in commands {
                sledge::cli::check(given.iter().map(Into::into))
                    .unwrap_or_else(|told| panic!("{example}: {told}"));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_is_a_command_too() {
    for words in [&[][..], &["grant"], &["polar", "meter"], &["config", "show"]] {
        let asked = run_sledge(&[&["help"], words].concat()).await;
        let flagged = run_sledge(&[words, &["--help"]].concat()).await;
        assert_eq!((asked.code, &asked.out), (Some(0), &flagged.out), "{words:?}: {asked:?}");
    }
    let unknown = run_sledge(&["help", "grnat"]).await;
    assert_eq!(unknown.code, Some(64), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_events_that_are_kept_are_a_finding_of_status_as_they_are_one_of_doctor() {
    let polar = FakePolar::start().await;
    let home = Home::new();
    let sledge = home.start(&polar.url()).await;
    let line = "{\"name\":\"api_usage\",\"customer\":\"user_1\"}\n";
    let mut sender = sledge.connect().await;
    sender.write_all(line.as_bytes()).await.unwrap();
    drop(sender);
    sledge.scrape_until(|scrape| scrape.sum("sledge_dead_letters") > 0.5).await;
    let status = run_sledge(&["status", "--admin", sledge.admin()]).await;
    assert_eq!(status.code, Some(1), "{status:?}");
    assert!(status.out.contains("finding: 1 event will not reach Polar by itself"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_shown_with_its_origins_though_no_token_is_there_to_run_it() {
    let shown = run_sledge(&["config", "show", "--origin", "--data-dir", "/tmp/d"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.out.starts_with("# the token is not set"), "{shown:?}");
    assert!(shown.out.contains("# from the command line") && shown.out.contains("# by default"), "{shown:?}");
    let check = run_sledge(&["config", "check", "--data-dir", "/tmp/d"]).await;
    assert_eq!(check.code, Some(78), "{check:?}");
    let wrong = run_sledge(&["config", "show", "--admin", "localhost", "--data-dir", "/tmp/d"]).await;
    assert_eq!(wrong.code, Some(78), "{wrong:?}");
    assert!(wrong.err.contains("no token was given") && wrong.err.contains("write HOST:PORT"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_token_file_is_told_once_and_a_taken_admin_address_with_a_way_out() {
    let polar = FakePolar::start().await;
    let (home, other) = (Home::new(), Home::new());
    let mut command = home.run_command(&polar.url());
    command.env_remove("POLAR_ACCESS_TOKEN").arg("--token-file").arg(home.path().join("missing"));
    let running = SledgeProcess::start(command, home.socket()).await;
    running.scrape_until(|scrape| scrape.sum("sledge_held") > 0.0).await;
    let mut second = sledge(&["run", "--polar-url", &polar.url(), "--admin", running.admin()]);
    second.arg("--data-dir").arg(other.path().join("data")).arg("--socket").arg(other.socket());
    let Err((status, said)) = SledgeProcess::try_start(second, other.socket()).await else {
        panic!("two daemons have one admin address")
    };
    assert_eq!(status.code(), Some(69), "{said}");
    assert!(said.contains("another sledge may have it") && said.contains("--admin 127.0.0.1:0"), "{said}");
    let (_, _, log) = running.stop().await;
    let told = log.lines().filter(|line| line.contains("there is no such file")).count();
    assert_eq!(told, 1, "{log}");
}

#[test]
fn a_wrong_example_would_be_seen() {
    let commands = commands_of("A=x cat f | sledge run --polar-urls http://h < file && sledge dev    remark");
    assert_eq!(commands, [vec!["sledge", "run", "--polar-urls", "http://h"], vec!["sledge", "dev"]]);
    assert!(sledge::cli::check(commands[0].iter().map(Into::into)).is_err());
    assert!(sledge::cli::check(commands[1].iter().map(Into::into)).is_ok());
}
