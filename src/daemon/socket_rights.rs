//! Who may use a socket's file, and the folders made for it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::unistd::{Group, User};

use super::error::StartError;
use crate::config::SocketAccess;

/// Who may use a socket: a mode, and whom its bits are for. Without a user or group it is the process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketRights {
    mode: u32,
    user: Option<u32>,
    group: Option<u32>,
}

impl SocketRights {
    /// For the user sledge runs as, and nobody else.
    pub(super) const OWN_USER: Self = Self { mode: 0o600, user: None, group: None };

    /// As configured, the names looked up on this machine.
    ///
    /// # Errors
    /// When this machine knows no such user or group.
    pub(super) fn look_up(access: &SocketAccess) -> Result<Self, StartError> {
        let user = |name: &str| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()));
        let group = |name: &str| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()));
        Ok(Self {
            mode: access.mode,
            user: number_of("socket_owner", "user", access.owner.as_deref(), user)?,
            group: number_of("socket_group", "group", access.group.as_deref(), group)?,
        })
    }

    /// Gives a socket's file to those who may use it. Its mode comes last: until then nobody but this process may.
    ///
    /// # Errors
    /// When the system does not let this process.
    pub(super) fn give(self, path: &Path) -> Result<(), StartError> {
        change_owner(path, self.user, self.group)?;
        fs::set_permissions(path, Permissions::from_mode(self.mode))
            .map_err(|source| StartError::Socket { path: path.to_owned(), source })
    }

    /// Lets the group into a folder that was made for a socket.
    ///
    /// # Errors
    /// When the system does not let this process.
    pub(super) fn let_group_in(self, folder: &Path) -> Result<(), StartError> {
        change_owner(folder, None, self.group)
    }
}

fn change_owner(path: &Path, user: Option<u32>, group: Option<u32>) -> Result<(), StartError> {
    if user.is_none() && group.is_none() {
        return Ok(());
    }
    chown(path, user, group).map_err(|source| StartError::SocketOwner { path: path.to_owned(), source })
}

fn number_of(
    key: &'static str,
    kind: &'static str,
    name: Option<&str>,
    look_up: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Result<Option<u32>, StartError> {
    let Some(name) = name else { return Ok(None) };
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let no_such = |source| StartError::NoSuchAccount { key, kind, name: name.to_owned(), source };
    match look_up(name) {
        Ok(Some(number)) => Ok(Some(number)),
        Ok(None) => Err(no_such(None)),
        Err(error) => Err(no_such(Some(error.into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(owner: Option<&str>, group: Option<&str>) -> SocketAccess {
        let [owner, group] = [owner, group].map(|name| name.map(str::to_owned));
        SocketAccess { owner, group, ..SocketAccess::default() }
    }

    #[test]
    fn names_and_numbers_are_looked_up_and_what_is_not_given_stays() {
        let rights = SocketRights::look_up(&SocketAccess::default()).unwrap();
        assert_eq!(rights, SocketRights { mode: 0o660, user: None, group: None });
        let rights = SocketRights::look_up(&access(Some("root"), Some("4242"))).unwrap();
        assert_eq!((rights.user, rights.group), (Some(0), Some(4242)));
    }

    #[test]
    fn an_account_that_is_not_there_is_named_with_its_setting() {
        for (access, words) in [
            (access(Some("no-such-user"), None), ["socket_owner", "user", "no-such-user"]),
            (access(None, Some("no-such-group")), ["socket_group", "group", "no-such-group"]),
        ] {
            let error = SocketRights::look_up(&access).unwrap_err();
            assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
            assert!(error.is_configuration());
        }
    }
}
