//! Where Polar's token comes from. It is never an argument, never printed and never logged.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::raw_config::{Given, Origin};
use super::surroundings::Surroundings;

const KEY: &str = "token_file";
const VARIABLE: &str = "POLAR_ACCESS_TOKEN";
const CREDENTIAL: &str = "polar_access_token";
/// A file larger than this holds no token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// An access token that shows itself to nobody by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token from its text; blanks and line ends around it don't belong to it.
    ///
    /// # Errors
    /// When the text can't be a token: what is wrong with it, without the text.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        match text {
            "" => Err("it is empty"),
            "undefined" | "null" | "None" => Err("it says that nothing was set"),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err("it has blanks or letters no token has")
            }
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The text, for the `Authorization` header and nothing else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where to read the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file, read again whenever it changes.
    File(PathBuf),
    /// A value that lasts as long as the process.
    Fixed(Token),
}

/// The strongest source that is there: the file that was named, systemd's credential, the variable. It is read once
/// here, so that a mistake shows at the start and not in the first delivery.
pub(super) fn source(
    file: Option<Given<PathBuf>>,
    surroundings: &Surroundings,
) -> Result<TokenSource, Fault> {
    if let Some(Given { value: path, origin }) = file {
        check_file(&path, &origin)?;
        return Ok(TokenSource::File(path));
    }
    let credential = surroundings.folder("CREDENTIALS_DIRECTORY").map(|folder| folder.join(CREDENTIAL));
    if let Some(path) = credential.filter(|path| path.exists()) {
        check_file(&path, &Origin::Variable("CREDENTIALS_DIRECTORY"))?;
        return Ok(TokenSource::File(path));
    }
    let Some(text) = surroundings.variable(VARIABLE) else {
        let fix = format!(
            "set {VARIABLE}, or give --token-file FILE, with an organization access token of Polar (scope events:write)"
        );
        return Err(Fault::new(KEY, &Origin::Default, "no token was given", fix));
    };
    fixed(text).map(TokenSource::Fixed).map_err(|problem| {
        let fix = "set it to an organization access token of Polar (polar_oat_…)";
        Fault::new(KEY, &Origin::Variable(VARIABLE), format!("the token can't be used: {problem}"), fix)
    })
}

fn fixed(text: OsString) -> Result<Token, &'static str> {
    Token::new(&text.into_string().map_err(|_| "it is not text")?)
}

fn check_file(path: &Path, origin: &Origin) -> Result<(), Fault> {
    let fault = |problem: String, fix: &str| Err(Fault::new(KEY, origin, problem, fix));
    let shown = path.display();
    let size = match fs::metadata(path) {
        Ok(file) if file.is_dir() => {
            return fault(format!("{shown} is a folder"), "name the file that holds the token");
        }
        Ok(file) => file.len(),
        Err(error) => {
            return fault(
                format!("{shown} can't be read: {error}"),
                "make it readable for this user, or name another file",
            );
        }
    };
    if size > TOKEN_BYTES_MAX {
        return fault(format!("{shown} is too large to hold a token"), "write the token alone into it");
    }
    match fs::read_to_string(path) {
        Err(error) => fault(
            format!("{shown} can't be read: {error}"),
            "make it readable for this user, or name another file",
        ),
        Ok(text) => match Token::new(&text) {
            Ok(_) => Ok(()),
            Err(problem) => fault(
                format!("{shown} holds no token: {problem}"),
                "write an organization access token of Polar into it, and nothing else",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings::made_up(variables, &[], false)
    }

    fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn the_named_file_outweighs_the_credential_and_that_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let (named, credential) =
            (file(&folder, "named", "polar_oat_a\n"), file(&folder, CREDENTIAL, "polar_oat_b"));
        let directory = folder.path().to_str().unwrap();
        let all = surroundings(&[("CREDENTIALS_DIRECTORY", directory), (VARIABLE, "polar_oat_c")]);
        let by_flag = Some(Given::by_flag(named.clone()));
        assert_eq!(source(by_flag, &all).unwrap(), TokenSource::File(named));
        assert_eq!(source(None, &all).unwrap(), TokenSource::File(credential));
        let fixed = source(None, &surroundings(&[(VARIABLE, " polar_oat_c\n")])).unwrap();
        assert_eq!(fixed, TokenSource::Fixed(Token("polar_oat_c".to_owned())));
    }

    #[test]
    fn a_missing_token_says_the_ways_to_give_one() {
        let fault = source(None, &surroundings(&[])).unwrap_err().to_string();
        assert!(
            fault.contains(VARIABLE) && fault.contains("--token-file") && fault.contains("events:write"),
            "{fault}"
        );
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new("polar_oat_secret").unwrap();
        assert!(!format!("{token:?}").contains("secret"));
        let fault = source(None, &surroundings(&[(VARIABLE, "polar oat secret")])).unwrap_err();
        assert!(!fault.to_string().contains("secret"), "{fault}");
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "token", "two secret words");
        let fault = source(Some(Given::by_flag(path)), &surroundings(&[])).unwrap_err();
        assert!(!fault.to_string().contains("two secret"), "{fault}");
    }

    #[test]
    fn files_without_a_token_are_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            folder.path().join("missing"),
            folder.path().to_owned(),
            file(&folder, "empty", "\n"),
            file(&folder, "undefined", "undefined"),
            file(&folder, "huge", &"x".repeat(5000)),
        ] {
            assert!(
                source(Some(Given::by_flag(path.clone())), &surroundings(&[])).is_err(),
                "{}",
                path.display()
            );
        }
    }
}
