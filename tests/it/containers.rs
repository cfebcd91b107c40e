//! The page on containers is what its readers can do. A container is made of what makes one: a root folder of its own that
//! nothing can be written to, a process tree of its own, a user, a group and volumes, as the page's manifest says them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command as Blocking;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::fake_polar::FakePolar;
use crate::one_command::{Ended, run, sledge};
use crate::readme::blocks;
use crate::sledge_process::{PATIENCE, SledgeProcess, http};
use crate::tool;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The page's block of this kind.
fn block(kind: &str) -> String {
    let page = fs::read_to_string(root().join("docs/containers.md")).unwrap();
    let found = blocks(&page).into_iter().find(|(of, _)| of == kind);
    found.unwrap_or_else(|| panic!("the page has no block `{kind}`")).1
}

/// The YAML documents of a block, judged by Kubernetes' schemas where `words` ask for it.
async fn documents(kind: &str, words: &[&str]) -> Option<Vec<Value>> {
    let python = root().join("target/containers/bin/python");
    if !tool::is_there(python.to_str().unwrap(), &["-c", "import kubernetes_validate"]) {
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root().join("tests/fixtures/containers/judge.py")).args(words);
    let read = run(command, &block(kind)).await;
    assert_eq!(read.code, Some(0), "{}", read.err);
    Some(serde_json::from_str(&read.out).unwrap())
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A pod of the page's manifest: its volumes, and the image's root folder. They outlive its containers.
struct Pod {
    folder: TempDir,
    spec: Value,
}

/// One container of a pod: whom it runs as, and what it sees.
struct Container<'a> {
    pod: &'a Pod,
    user: u64,
    group: u64,
    environment: BTreeMap<String, String>,
    mounts: Vec<(String, String, bool)>,
}

impl Pod {
    /// Volumes as a kubelet makes them: root's, and of the pod's group.
    fn new(spec: Value) -> Self {
        let folder = tempfile::Builder::new().prefix("sledge-pod-").tempdir().unwrap();
        let pod = Self { folder, spec };
        for (volume, mode) in [("journal", 0o2775), ("socket", 0o2777), ("token", 0o2755)] {
            pod.own(&pod.made(volume), mode);
        }
        let token = pod.path("token/token");
        fs::write(&token, "polar_oat_pod\n").unwrap();
        let volumes = pod.spec["volumes"].as_array().unwrap();
        let secret = volumes.iter().find(|volume| volume["name"] == "token").unwrap();
        pod.own(&token, u32::try_from(secret["secret"]["defaultMode"].as_u64().unwrap()).unwrap());
        for place in ["root/proc", "root/var/lib/sledge", "root/run/sledge", "root/run/secrets/polar"] {
            pod.made(place);
        }
        pod
    }

    fn path(&self, place: &str) -> PathBuf {
        self.folder.path().join(place.trim_start_matches('/'))
    }

    fn made(&self, place: &str) -> PathBuf {
        let folder = self.path(place);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn own(&self, place: &Path, mode: u32) {
        let group = u32::try_from(self.spec["securityContext"]["fsGroup"].as_u64().unwrap()).unwrap();
        chown(place, Some(0), Some(group)).unwrap();
        fs::set_permissions(place, Permissions::from_mode(mode)).unwrap();
    }

    fn container(&self, list: &str) -> Container<'_> {
        let spec = &self.spec[list][0];
        let of_user = &spec["securityContext"];
        let user = of_user["runAsUser"].as_u64().unwrap();
        let variables = spec["env"].as_array().into_iter().flatten();
        let mounts = spec["volumeMounts"].as_array().unwrap().iter();
        Container {
            pod: self,
            user,
            group: of_user["runAsGroup"].as_u64().unwrap_or(user),
            environment: variables.map(|it| (text(&it["name"]), text(&it["value"]))).collect(),
            mounts: mounts
                .map(|it| (text(&it["name"]), text(&it["mountPath"]), it["readOnly"] == true))
                .collect(),
        }
    }

    /// `sledge` in its container, but for ports that others use, and with a Polar of this test's.
    fn sidecar(&self, polar_url: &str) -> Container<'_> {
        let mut container = self.container("initContainers");
        container.environment.remove("SLEDGE_ENVIRONMENT");
        container.environment.insert("SLEDGE_POLAR_URL".to_owned(), polar_url.to_owned());
        container.environment.insert("SLEDGE_LOG_FORMAT".to_owned(), "json".to_owned());
        container.environment.insert("SLEDGE_JOURNAL_LOW_WATER_BYTES".to_owned(), "1".to_owned());
        for address in ["SLEDGE_ADMIN", "SLEDGE_HTTP"] {
            let given = container.environment.get_mut(address).unwrap();
            *given = format!("{}:0", given.rsplit_once(':').unwrap().0);
        }
        container
    }

    async fn start(&self, polar_url: &str) -> SledgeProcess {
        SledgeProcess::start(self.sidecar(polar_url).command("run"), self.path("socket/sledge.sock")).await
    }
}

impl Container<'_> {
    /// `sledge` with these words as the first process of a container. The image has the binary, the libraries it is linked
    /// to, and the system's authorities.
    fn command(&self, words: &str) -> Command {
        let binary = env!("CARGO_BIN_EXE_sledge");
        let linked = Blocking::new("ldd").arg(binary).output().unwrap();
        let linked = String::from_utf8(linked.stdout).unwrap();
        let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
        let image = libraries.chain(["/etc/ssl/certs/ca-certificates.crt"]).map(|file| (file, file));
        let mut script = "set -e; mount --bind root root; mount -t proc proc root/proc\n".to_owned();
        for (from, to) in image.chain([(binary, "/usr/bin/sledge")]) {
            let there = self.pod.path(&format!("root{to}"));
            fs::create_dir_all(there.parent().unwrap()).unwrap();
            fs::File::create(there).unwrap();
            script.push_str(&format!("mount --bind '{from}' 'root{to}'\n"));
        }
        script.push_str("mount -o remount,bind,ro root\n");
        for (volume, place, is_read_only) in &self.mounts {
            script.push_str(&format!("mount --bind {volume} root{place}\n"));
            if *is_read_only {
                script.push_str(&format!("mount -o remount,bind,ro root{place}\n"));
            }
        }
        let of_pod = &self.pod.spec["securityContext"]["fsGroup"];
        let (user, group) = (self.user, self.group);
        script.push_str(&format!(
            "exec chroot --userspec={user}:{group} --groups={of_pod} root /usr/bin/sledge {words}"
        ));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &script]);
        command.current_dir(self.pod.folder.path()).env_clear().envs(&self.environment);
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command
    }

    async fn run(&self, words: &str) -> Ended {
        run(self.command(words), "").await
    }
}

/// SIGTERM to the first process of the container, as a runtime sends it, and how it ended.
async fn stop(sledge: SledgeProcess) -> String {
    let children = format!("/proc/{0}/task/{0}/children", sledge.id());
    let first = fs::read_to_string(children).unwrap().trim().parse().unwrap();
    let first = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::TERM).unwrap();
    let (status, _, log) = sledge.end().await;
    assert!(status.success(), "{status}: {log}");
    log
}

fn warnings(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains(r#""level":"WARN""#) || line.contains(r#""level":"ERROR""#))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pod_of_the_page_takes_events_of_its_app_and_keeps_them_when_it_is_replaced() {
    if !tool::is_there("unshare", &["--mount", "--pid", "--fork", "true"]) {
        return;
    }
    let Some(documents) = documents("yaml kubernetes", &["kubernetes"]).await else { return };
    let pod = Pod::new(documents[0]["spec"]["template"]["spec"].clone());
    let probe = |name: &str| text(&pod.spec["initContainers"][0][name]["httpGet"]["path"]);
    let mut polar = FakePolar::start().await;

    let sledge = pod.start(&polar.url()).await;
    for probe in [probe("startupProbe"), probe("livenessProbe")] {
        sledge.get_until(&probe, |status, _| status == 200).await;
    }
    let app = pod.container("containers");
    let sent = app.run("send api_usage --customer user_123 --id by-socket").await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let body = r#"{"events":[{"name":"api_usage","external_customer_id":"user_123"}]}"#;
    let address = sledge.listener("http").await;
    let request = format!(
        "POST /v1/events/ingest HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let (status, said) = http(TcpStream::connect(&address).await.unwrap(), &request).await;
    assert_eq!(status, 200, "{said}");
    polar.has_events(2, PATIENCE).await;
    let token = fs::read(pod.path("token/token"));
    assert!(token.is_ok() && app.mounts.iter().all(|(volume, ..)| volume != "token"));

    polar.go_away().await;
    let sent = app.run("send api_usage --customer user_123 --id while-away").await;
    assert_eq!(sent.code, Some(0), "{sent:?}");
    let (status, said) = sledge.get(&probe("startupProbe")).await;
    assert_eq!(status, 200, "Polar's absence takes no app out of service: {said}");
    let log = stop(sledge).await;
    let of_polar = |line: &&str| line.contains("Polar does not take events now");
    assert!(warnings(&log).iter().all(of_polar), "{log}");

    polar.come_back();
    let sledge = pod.start(&polar.url()).await;
    polar.has_events(3, PATIENCE).await;
    let log = stop(sledge).await;
    assert_eq!(warnings(&log), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_finds_nothing_in_the_container_of_the_page() {
    if !tool::is_there("unshare", &["--mount", "--pid", "--fork", "true"]) {
        return;
    }
    let Some(documents) = documents("yaml kubernetes", &["kubernetes"]).await else { return };
    let pod = Pod::new(documents[0]["spec"]["template"]["spec"].clone());
    let polar = FakePolar::start().await;
    let sledge = pod.start(&polar.url()).await;
    sledge.get_until("/readyz", |status, _| status == 200).await;
    let mut beside = pod.sidecar(&polar.url());
    beside.environment.insert("SLEDGE_ADMIN".to_owned(), sledge.admin().to_owned());
    for words in ["status", "doctor"] {
        let looked = beside.run(words).await;
        assert_eq!(looked.code, Some(0), "{looked:?}");
    }
    stop(sledge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compose_gives_sledge_settings_that_it_knows_and_time_to_stop() {
    let Some(documents) = documents("yaml compose", &[]).await else { return };
    let of_sledge = &documents[0]["services"]["sledge"];
    let mut command = sledge(&["config", "show", "--json", "--config", "/dev/null"]);
    for (variable, value) in of_sledge["environment"].as_object().unwrap() {
        command.env(variable, text(value));
    }
    let shown = run(command, "").await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let seconds: u64 = text(&of_sledge["stop_grace_period"]).trim_end_matches('s').parse().unwrap();
    let settings: Value = serde_json::from_str(&shown.out).unwrap();
    let deadline = settings["settings"]["drain_deadline_seconds"]["value"].as_u64().unwrap();
    assert!(seconds > 2 * deadline, "{seconds} s for a stop that may take {deadline} s and a little more");
    for volume in of_sledge["volumes"].as_array().unwrap() {
        let (name, _) = volume.as_str().unwrap().split_once(':').unwrap();
        assert!(documents[0]["volumes"].as_object().unwrap().contains_key(name), "{name} is not declared");
    }
}

/// What the manifest in this folder builds, but for tests and examples.
fn targets(folder: &Path) -> BTreeSet<String> {
    let read = Blocking::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let metadata: Value = serde_json::from_slice(&read.stdout).unwrap();
    let targets = metadata["packages"][0]["targets"].as_array().unwrap().iter();
    targets
        .filter(|it| !["test", "example"].contains(&it["kind"][0].as_str().unwrap()))
        .map(|it| format!("{} {}", it["kind"], it["name"]))
        .collect()
}

#[test]
fn the_image_is_built_from_files_that_are_enough() {
    let recipe = block("dockerfile");
    let folder = tempfile::tempdir().unwrap();
    let copied =
        recipe.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|it| !it.starts_with("--"));
    for line in copied {
        let words: Vec<&str> = line.split(' ').collect();
        let (to, from) = words.split_last().unwrap();
        for file in from {
            let to = if *to == "./" { folder.path().join(file) } else { folder.path().join(to) };
            let copied = Blocking::new("cp").arg("-r").arg(root().join(file)).arg(to).status().unwrap();
            assert!(copied.success(), "{line}");
        }
    }
    // Cargo builds nothing where a target that its manifest names is missing.
    assert_eq!(targets(folder.path()), targets(root()));
    let rust = recipe.lines().next().unwrap();
    let least = env!("CARGO_PKG_RUST_VERSION");
    assert!(rust.starts_with(&format!("FROM rust:{least}")), "{rust}, but sledge needs {least}");
}
