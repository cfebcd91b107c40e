//! Assembly: opens and binds everything, starts every task, watches over them, and drains them in the order of the flow.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{oneshot, watch};

use super::descriptors::Descriptors;
use super::drain::{DrainSignals, Stopped, TaskEnd, drain};
use super::error::{RunError, StartError};
use super::listeners::{Addresses, BoundSockets, Listeners, wherever_it_is_read};
use super::reloader::{Changes, Reloader};
use super::socket_file::{SocketFile, SocketUse};
use super::socket_rights::SocketRights;
use super::tasks::{Ended, Task, Tasks};
use crate::admin::{
    self, Admin, AskAttempts, Desks, Door, Full, ImportDesk, LetterDesk, Outlook, RecallDesk, TokenDesk, View,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::delivery::{Delivery, DeliveryHandle};
use crate::event::Rules;
use crate::forward::Forward;
use crate::health::{Health, Latch, State};
use crate::intake::{Admission, ForeignTokens, Onward};
use crate::journal::{AccountsReader, AppendError, Appender, Consumer, Journal, JournalError};
use crate::metrics::Metrics;
use crate::polar::{PolarClient, Relay, SetupError};

/// A daemon that has everything it needs: whatever can fail at the start has been done.
#[derive(Debug)]
pub struct Daemon {
    journal: Journal,
    addresses: Addresses,
    listeners: Listeners,
    delivery: Delivery<Consumer, PolarClient>,
    admin: Admin,
    admin_listener: TcpListener,
    letters: Letters,
    listening: Latch,
    drain_deadline: watch::Receiver<Duration>,
    reloader: Option<Reloader>,
}

/// The admin socket, where dead letters and the past are looked after.
#[derive(Debug)]
struct Letters {
    file: SocketFile,
    listener: UnixListener,
    admin: Admin,
}

impl Daemon {
    /// Binds the sockets and opens the journal. The kernel holds whoever connects meanwhile.
    ///
    /// # Errors
    /// The first thing that is not to be had.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let started = Instant::now();
        let clock = Clock::system();
        let metrics = Metrics::new().map_err(|error| StartError::Metrics(error.to_string()))?;
        let health = Health::new();
        let (journal_latch, delivery_latch) = (health.latch("journal"), health.latch("delivery"));
        let listening = health.latch("listener");
        let descriptors = Descriptors::taken_for(&config, health.latch("descriptors"));

        let sockets = BoundSockets::bind(&config).await?;
        let polar =
            Arc::new(PolarClient::new(&config.polar).map_err(|error| StartError::Polar(error.to_string()))?);
        let (journal, consumer) = open_journal(&config, &clock, &metrics).await?;
        journal_latch.set(as_it_was_found(&journal));
        // After the journal: who has the folder is what a second daemon should hear of first.
        let (admin_listener, (letters_file, letters_listener)) = match bind_admin(&config).await {
            Ok(bound) => bound,
            Err(error) => {
                drop(journal.close().await);
                return Err(error);
            }
        };
        let (set_letter_rules, letter_rules) = watch::channel(config.rules.clone());

        let admission = Admission::new(
            journal.appender(),
            metrics.clone(),
            clock.clone(),
            config.rules.clone(),
            &config.intake,
        );
        let tokens = config.notice_foreign_tokens.then(|| Arc::new(foreign_tokens(&polar)));
        let token = token_desk(&polar);
        let delivery = Delivery::new(
            config.delivery.clone(),
            consumer,
            polar,
            clock.clone(),
            metrics.clone(),
            delivery_latch,
        );
        let onward = forwarding(&config, &metrics, delivery.handle())?;
        let (listeners, addresses) = sockets.listeners(&admission, tokens, onward, journal.pending_units());
        let (set_drain_deadline, drain_deadline) = watch::channel(config.drain_deadline);
        let desks = desks(&journal, letter_rules, delivery.handle(), &clock, token);
        let changes = Changes {
            admission,
            delivery: delivery.handle(),
            drain_deadline: set_drain_deadline,
            letter_rules: set_letter_rules,
            descriptors,
        };
        let reloader = Reloader::new(config.clone(), changes, metrics.clone());
        let view = View {
            accounts: journal.accounts(),
            metrics,
            health,
            listeners: addresses.status(),
            data_dir: wherever_it_is_read(&config.data_dir),
            trial: !config.journal.warns_if_volatile,
            polar: config.polar.base_url.as_str().to_owned(),
            outlook: Outlook::default(),
            full: why_full(journal.appender()),
            started,
            now: Arc::new(move || clock.now()),
        };
        Ok(Self {
            journal,
            addresses,
            listeners,
            delivery,
            admin: Admin::new(config.admin.clone(), view.clone()),
            admin_listener,
            letters: Letters {
                file: letters_file,
                listener: letters_listener,
                admin: Admin::new(admin::Settings::on_socket(), view).with_desks(desks),
            },
            listening,
            drain_deadline,
            reloader: Some(reloader),
        })
    }

    /// Where the admin server listens; the port is the system's choice when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn admin_address(&self) -> std::io::Result<std::net::SocketAddr> {
        self.admin_listener.local_addr()
    }

    /// Where the loopback listener takes events, if there is one.
    #[must_use]
    pub fn http_address(&self) -> Option<std::net::SocketAddr> {
        self.addresses.http()
    }

    /// What changes settings while the daemon runs; taken once.
    #[must_use]
    pub fn take_reloader(&mut self) -> Option<Reloader> {
        self.reloader.take()
    }

    /// The figures, for whoever watches from inside the process.
    #[must_use]
    pub fn accounts(&self) -> AccountsReader {
        self.journal.accounts()
    }

    /// Serves until `shutdown` resolves, then drains in the order of the flow: the listeners finish what they have
    /// read, delivery sends what it can until the deadline, the journal syncs and closes, the admin address goes last.
    ///
    /// # Errors
    /// When the journal fails or a task ends unexpectedly. What was acknowledged is on disk all the same.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Stopped, RunError> {
        let Self {
            mut journal,
            addresses,
            listeners,
            delivery,
            admin,
            admin_listener,
            letters,
            listening,
            drain_deadline,
            reloader: _,
        } = self;
        let admin_address =
            admin_listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        let mut tasks = Tasks::new();
        let Letters { file: letters_file, listener: letters_listener, admin: letters } = letters;
        let signals = start(&mut tasks, listeners, delivery);
        serve_admin(&mut tasks, &signals, admin, admin_listener, Task::Admin);
        serve_admin(&mut tasks, &signals, letters, letters_listener, Task::Letters);
        listening.set(State::Ready);
        addresses.tell_ready(&admin_address, letters_file.path());

        tokio::select! {
            () = shutdown => {}
            ended = tasks.next_end() => return Err(unexpected(&ended, &mut journal).await),
            ended = journal.ended() => return Err(journal_ended(ended)),
        }
        let drain_deadline = *drain_deadline.borrow();
        listening.set(State::NotReady("stopping".to_owned()));
        tracing::info!(
            deadline_seconds = drain_deadline.as_secs(),
            "stopping: finishing what was read, then delivering what can be"
        );
        let stopped = drain(journal, tasks, signals, drain_deadline).await;
        drop((addresses, letters_file));
        stopped
    }
}

/// Binds the two places for looking in.
async fn bind_admin(config: &Config) -> Result<(TcpListener, (SocketFile, UnixListener)), StartError> {
    let admin_at = |source| StartError::Admin { address: config.admin.address.clone(), source };
    let admin_listener = TcpListener::bind(&config.admin.address).await.map_err(admin_at)?;
    // Whoever may write to it can read and change what customers are charged for.
    let socket = SocketFile::bind(&config.admin_socket, SocketUse::Admin, SocketRights::OWN_USER)?;
    Ok((admin_listener, socket))
}

/// Opens the journal off the runtime's threads: it reads volumes, which may take a while.
async fn open_journal(
    config: &Config,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<(Journal, Consumer), StartError> {
    let (settings, clock, metrics) = (config.journal.clone(), clock.clone(), metrics.clone());
    let opening = tokio::task::spawn_blocking(move || Journal::open(&settings, clock, metrics));
    let mut journal = opening.await.map_err(|_| StartError::JournalPanicked)??;
    let consumer = journal.take_consumer().ok_or(StartError::JournalPanicked)?;
    Ok((journal, consumer))
}

fn as_it_was_found(journal: &Journal) -> State {
    match journal.alarms() {
        [] => State::Ready,
        alarms => State::Degraded(alarms.join("; ")),
    }
}

/// What the owner can do at the admin socket.
fn desks(
    journal: &Journal,
    rules: watch::Receiver<Rules>,
    delivery: DeliveryHandle,
    clock: &Clock,
    token: TokenDesk,
) -> Desks {
    let clock = clock.clone();
    let ask_attempts: AskAttempts = Arc::new(move |block| delivery.ask_attempts(block));
    Desks {
        import: ImportDesk::new(journal.restorer(), rules.clone(), Arc::new(move || clock.now())),
        letters: LetterDesk::new(journal.dead_letters(), rules),
        recall: RecallDesk::new(journal.recall()).beside_delivery(ask_attempts),
        token,
    }
}

/// Why the journal has no room for events of a lane, asked each time.
fn why_full(appender: Appender) -> Full {
    Arc::new(move |lane| match appender.refusal_of(lane) {
        Some(AppendError::Full { detail }) => Some(detail),
        Some(AppendError::Busy | AppendError::Journal(_)) | None => None,
    })
}

fn token_desk(polar: &Arc<PolarClient>) -> TokenDesk {
    let polar = Arc::clone(polar);
    TokenDesk::new(move || polar.token_mark())
}

/// Asks the client for its token each time, since that may change.
fn foreign_tokens(polar: &Arc<PolarClient>) -> ForeignTokens {
    let polar = Arc::clone(polar);
    ForeignTokens::new(move |hasher| polar.token_fingerprint(hasher))
}

/// The way for whatever is not intake. Where anybody could read what goes over it there is none: an application's
/// credentials are worth as much as ours.
fn forwarding(
    config: &Config,
    metrics: &Metrics,
    delivery: DeliveryHandle,
) -> Result<Option<Onward>, StartError> {
    let relay = match Relay::new(&config.polar, config.forward.answer_timeout) {
        Ok(relay) => relay,
        Err(SetupError::ClearTextToken { host }) => {
            tracing::warn!(
                host,
                "nothing but events goes to Polar from here: its address is plain http to another machine, where an \
                 application's credentials could be read on the way; use https"
            );
            return Ok(None);
        }
        Err(error) => return Err(StartError::Polar(error.to_string())),
    };
    let count = move || delivery.count_request();
    let forward = Forward::new(config.forward.clone(), relay, metrics.clone(), count);
    Ok(Some(Onward::new(move |request| {
        let forward = forward.clone();
        async move { forward.answer(request).await }
    })))
}

fn start(
    tasks: &mut Tasks<TaskEnd>,
    listeners: Listeners,
    delivery: Delivery<Consumer, PolarClient>,
) -> DrainSignals {
    let (listeners_drain, drain) = watch::channel(false);
    let (delivery_drains, delivery_drain) = oneshot::channel();
    tasks.start(Task::Delivery, async move {
        // The sender is only ever dropped with the whole daemon.
        let drain = async { delivery_drain.await.unwrap_or_default() };
        delivery.run(drain).await.map(|_| ())
    });
    let listening = listeners.start(tasks, &drain);
    DrainSignals {
        listeners: listeners_drain,
        listening,
        delivery: delivery_drains,
        admin: watch::Sender::new(false),
    }
}

/// Starts answering at a door, until the very end.
fn serve_admin(
    tasks: &mut Tasks<TaskEnd>,
    signals: &DrainSignals,
    admin: Admin,
    door: impl Door + 'static,
    task: Task,
) {
    let mut stop = signals.admin.subscribe();
    tasks.start(task, async move {
        // The sender is only ever dropped with the whole daemon.
        admin.serve(door, async { drop(stop.wait_for(|stop| *stop).await) }).await;
        Ok(())
    });
}

/// A task ended though nobody asked it to. Where the journal is the cause, that is what is reported.
async fn unexpected(ended: &Ended<TaskEnd>, journal: &mut Journal) -> RunError {
    match &ended.outcome {
        Some(Err(_)) => journal_ended(journal.ended().await),
        Some(Ok(())) | None => RunError::TaskEnded { task: ended.task.as_str() },
    }
}

fn journal_ended(ended: Result<(), JournalError>) -> RunError {
    match ended {
        Err(error) => error.into(),
        Ok(()) => RunError::TaskEnded { task: "the journal" },
    }
}
