//! Every way in: bound before the journal is opened, so that the kernel holds whoever comes meanwhile; served after.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixDatagram, UnixListener};
use tokio::sync::watch;

use super::drain::TaskEnd;
use super::error::StartError;
use super::socket_file::{SocketFile, SocketUse};
use super::socket_rights::SocketRights;
use super::tasks::{Task, Tasks};
use crate::admin::ListenerStatus;
use crate::config::Config;
use crate::intake::{Admission, DatagramListener, ForeignTokens, LoopbackListener, Onward, StreamListener};
use crate::journal::PendingUnits;

/// Bound sockets that nobody reads yet.
#[derive(Debug)]
pub(super) struct BoundSockets {
    stream: UnixListener,
    datagram: Option<UnixDatagram>,
    http: Option<TcpListener>,
    addresses: Addresses,
}

/// Where events are taken. Dropped, the files of the Unix sockets are gone, and the next daemon may come.
#[derive(Debug)]
pub(super) struct Addresses {
    stream: SocketFile,
    datagram: Option<SocketFile>,
    http: Option<SocketAddr>,
}

impl Addresses {
    /// For whoever looks in.
    pub(super) fn status(&self) -> Vec<ListenerStatus> {
        let at = |name: &str, address: String| ListenerStatus { name: name.to_owned(), address };
        let datagram = self.datagram.as_ref().map(|file| at("datagram", wherever_it_is_read(file.path())));
        let http = self.http.map(|address| at("http", address.to_string()));
        let stream = at("socket", wherever_it_is_read(self.stream.path()));
        [Some(stream), datagram, http].into_iter().flatten().collect()
    }

    /// Where the loopback listener is, if there is one.
    pub(super) fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// For the log.
    pub(super) fn tell_ready(&self, admin: &str, admin_socket: &Path) {
        let datagram_socket = self.datagram.as_ref().map(|file| file.path().display().to_string());
        let http = self.http.map(|address| address.to_string());
        tracing::info!(socket = %self.stream.path().display(), datagram_socket, http, admin, admin_socket = %admin_socket.display(), "ready");
    }
}

/// A path as it is told to those who may be in another folder.
pub(super) fn wherever_it_is_read(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The listeners, not yet at work.
#[derive(Debug)]
pub(super) struct Listeners {
    stream: StreamListener,
    datagram: Option<DatagramListener>,
    http: Option<LoopbackListener>,
}

impl BoundSockets {
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// The first socket or address that is not to be had.
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        let rights = SocketRights::look_up(&config.socket_access)?;
        let (stream_file, stream) = SocketFile::bind(&config.socket, SocketUse::Events, rights)?;
        let bind_datagram = |path| SocketFile::bind_datagram(path, rights);
        let datagram = config.datagram_socket.as_deref().map(bind_datagram).transpose()?;
        let (datagram_file, datagram) = datagram.unzip();
        let mut addresses = Addresses { stream: stream_file, datagram: datagram_file, http: None };
        let mut http = None;
        if let Some(address) = config.http {
            let failed = |source| StartError::Http { address, source };
            let socket = TcpListener::bind(address).await.map_err(failed)?;
            addresses.http = Some(socket.local_addr().map_err(failed)?);
            http = Some(socket);
        }
        Ok(Self { stream, datagram, http, addresses })
    }

    /// Puts a listener on each.
    pub(super) fn listeners(
        self,
        admission: &Admission,
        tokens: Option<Arc<ForeignTokens>>,
        onward: Option<Onward>,
        pending: Option<PendingUnits>,
    ) -> (Listeners, Addresses) {
        let stream = StreamListener::new(self.stream, admission.clone());
        let datagram = self.datagram.map(|socket| DatagramListener::new(socket, admission.clone()));
        let http = self.http.map(|socket| LoopbackListener::new(socket, admission.clone()));
        let listeners = Listeners {
            stream: stream.noticing(tokens.clone()).handing(onward.clone()).telling(pending),
            datagram,
            http: http.map(|listener| listener.noticing(tokens).handing(onward)),
        };
        (listeners, self.addresses)
    }
}

impl Listeners {
    /// Sets each to work, and names the tasks that end once `drain` is told.
    pub(super) fn start(self, tasks: &mut Tasks<TaskEnd>, drain: &watch::Receiver<bool>) -> Vec<Task> {
        let mut started = vec![Task::Listener];
        let run = self.stream.run(drain.clone());
        tasks.start(Task::Listener, async move {
            run.await;
            Ok(())
        });
        if let Some(datagram) = self.datagram {
            let run = datagram.run(drain.clone());
            tasks.start(Task::DatagramListener, async move {
                run.await;
                Ok(())
            });
            started.push(Task::DatagramListener);
        }
        if let Some(http) = self.http {
            let run = http.run(drain.clone());
            tasks.start(Task::LoopbackListener, async move {
                run.await;
                Ok(())
            });
            started.push(Task::LoopbackListener);
        }
        started
    }
}
