//! Where Polar's token comes from. It is never an argument, never printed and never logged.

use std::path::PathBuf;

use super::fault::Fault;
use super::origin::{Given, Origin};
use super::surroundings::Surroundings;
use crate::polar::{Environment, Token, TokenError, TokenSource};

const KEY: &str = "token_file";
const VARIABLE: &str = "POLAR_ACCESS_TOKEN";
const CREDENTIAL: &str = "polar_access_token";
/// Where the unit that comes with sledge has systemd take the credential from: for whoever looks from outside the unit.
pub const CREDENTIAL_FILE: &str = "/etc/sledge/polar_access_token";

/// The strongest source that is there: the file that was named, systemd's credential, the variable.
///
/// What a file holds is not looked at: it may be put in place, or right, later, and until then events are kept. A
/// variable stays as it is until a restart, so it is checked. Only a stand-in for Polar does without any token.
pub(super) fn source(
    file: Option<Given<PathBuf>>,
    environment: Option<Environment>,
    surroundings: &Surroundings,
) -> Result<TokenSource, Fault> {
    let found = source_if_any(file, surroundings)?;
    let may_do_without = environment == Some(Environment::Custom) || surroundings.is_blank();
    if found != TokenSource::None || may_do_without {
        return Ok(found);
    }
    Err(Fault::new(
        "token",
        &Origin::Default,
        "no token was given",
        "set POLAR_ACCESS_TOKEN, or give --token-file FILE, with an organization access token of Polar (scope \
         events:write); to try sledge without an account, run: sledge dev",
    ))
}

/// The token of whoever types a command. What the configuration's file names is the daemon's, which may do less: the
/// caller's own variable outweighs it.
pub(super) fn callers(
    file: Option<Given<PathBuf>>,
    surroundings: &Surroundings,
) -> Result<TokenSource, Fault> {
    let is_daemons = |given: &Given<PathBuf>| matches!(given.origin, Origin::File(_));
    let has_own = surroundings.variable(VARIABLE).is_some();
    source_if_any(file.filter(|given| !(has_own && is_daemons(given))), surroundings)
}

/// The strongest source that is there, or none.
fn source_if_any(file: Option<Given<PathBuf>>, surroundings: &Surroundings) -> Result<TokenSource, Fault> {
    if let Some(Given { value: path, origin }) = file {
        if path.as_os_str().is_empty() || path.is_dir() {
            let problem = format!("{:?} is not a file", path.display().to_string());
            return Err(Fault::new(KEY, &origin, &problem, "name the file that holds the token"));
        }
        return Ok(TokenSource::File(path));
    }
    let credential = surroundings.folder("CREDENTIALS_DIRECTORY").map(|folder| folder.join(CREDENTIAL));
    if let Some(path) = credential.filter(|path| path.exists()) {
        return Ok(TokenSource::File(path));
    }
    by_variable(surroundings)
}

/// The one that the variable holds, or none.
pub(super) fn by_variable(surroundings: &Surroundings) -> Result<TokenSource, Fault> {
    let Some(text) = surroundings.variable(VARIABLE) else { return Ok(TokenSource::None) };
    let token = text.to_str().ok_or(TokenError::NotAToken).and_then(Token::parse);
    token.map(TokenSource::Fixed).map_err(|error| Fault::found("token", &Origin::Variable(VARIABLE), &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings::made_up(variables, &[], false)
    }

    const PRODUCTION: Option<Environment> = Some(Environment::Production);

    #[test]
    fn a_callers_variable_outweighs_the_daemons_file_and_what_was_named_outweighs_both() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let place =
            crate::config::Place { file: std::sync::Arc::new("sledge.toml".into()), line: 1, column: 1 };
        let in_file = || Some(Given { value: file.clone(), origin: Origin::File(place.clone()) });
        let own = surroundings(&[(VARIABLE, "polar_oat_own")]);
        assert!(matches!(callers(in_file(), &own), Ok(TokenSource::Fixed(_))));
        assert_eq!(callers(in_file(), &surroundings(&[])), Ok(TokenSource::File(file.clone())));
        assert_eq!(callers(Some(Given::by_flag(file.clone())), &own), Ok(TokenSource::File(file)));
        assert_eq!(callers(None, &surroundings(&[])), Ok(TokenSource::None));
    }

    #[test]
    fn the_named_file_outweighs_the_credential_and_that_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let credential = folder.path().join(CREDENTIAL);
        fs::write(&credential, "polar_oat_b").unwrap();
        let directory = folder.path().to_str().unwrap();
        let all = surroundings(&[("CREDENTIALS_DIRECTORY", directory), (VARIABLE, "polar_oat_c")]);
        let by_flag = Some(Given::by_flag("/etc/token".into()));
        assert_eq!(source(by_flag, PRODUCTION, &all).unwrap(), TokenSource::File("/etc/token".into()));
        assert_eq!(source(None, PRODUCTION, &all).unwrap(), TokenSource::File(credential));
        let fixed = source(None, PRODUCTION, &surroundings(&[(VARIABLE, " polar_oat_c\n")])).unwrap();
        assert_eq!(fixed, TokenSource::Fixed(Token::parse("polar_oat_c").unwrap()));
    }

    #[test]
    fn a_missing_token_says_the_ways_to_give_one() {
        let fault = source(None, PRODUCTION, &surroundings(&[])).unwrap_err().to_string();
        for way in [VARIABLE, "--token-file", "events:write", "sledge dev"] {
            assert!(fault.contains(way), "{fault}");
        }
    }

    #[test]
    fn only_a_stand_in_for_polar_does_without_a_token() {
        let none = surroundings(&[]);
        assert_eq!(source(None, Some(Environment::Custom), &none).unwrap(), TokenSource::None);
        assert!(source(None, Some(Environment::Sandbox), &none).is_err());
    }

    #[test]
    fn a_token_is_never_shown_by_its_fault() {
        let fault = source(None, PRODUCTION, &surroundings(&[(VARIABLE, "polar oat secret")])).unwrap_err();
        assert!(!fault.to_string().contains("secret"), "{fault}");
        assert_eq!(fault.origin, Origin::Variable(VARIABLE));
    }

    #[test]
    fn a_token_file_that_is_not_there_yet_is_no_fault_but_a_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let given = |path: PathBuf| source(Some(Given::by_flag(path)), PRODUCTION, &surroundings(&[]));
        assert!(given(folder.path().join("later")).is_ok());
        assert!(given(folder.path().to_owned()).is_err());
        assert!(given(PathBuf::new()).is_err());
    }
}
