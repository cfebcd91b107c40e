//! The group that may use a socket, for the message to somebody who may not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The name of the group the socket belongs to, or of the folder that keeps us out before it.
pub(super) fn allowed_group(socket: &Path) -> String {
    let file = fs::metadata(socket).ok().or_else(|| fs::metadata(socket.parent()?).ok());
    let Some(gid) = file.map(|file| file.gid()) else { return "of its folder".to_owned() };
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    name_of(gid, &groups).unwrap_or_else(|| gid.to_string())
}

fn name_of(gid: u32, groups: &str) -> Option<String> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(gid)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_called_by_its_name_where_it_has_one() {
        let groups = "root:x:0:\nsledge:x:998:ada,bob\nbroken\n";
        assert_eq!(name_of(998, groups).as_deref(), Some("sledge"));
        assert_eq!(name_of(7, groups), None);
    }
}
