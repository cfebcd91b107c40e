//! How Polar is reached.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::authorities;
use super::base_url::BaseUrl;
use super::credentials::TokenSource;
use super::error::SetupError;
use super::proxy_login::ProxyLogin;
use super::wire::POLAR_VERSION;

/// Where Polar is and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where Polar is.
    pub base_url: BaseUrl,
    /// Where the token comes from.
    pub token: TokenSource,
    /// Sent as `Polar-Version`. Polar answers 404 to one it does not know.
    pub polar_version: String,
    /// From the first byte sent to the last byte read. Polar takes 1.4–1.7 s for 1,000 events and 8–13 s for 4,000, so
    /// this leaves room for a slow line and a busy Polar.
    pub request_timeout: Duration,
    /// For the connection alone, TLS included: a host that drops packets is told apart from a slow answer.
    pub connect_timeout: Duration,
    /// The proxy that is asked to connect to Polar, as `http://HOST:PORT`. The environment's proxy variables are ignored.
    pub proxy: Option<String>,
    /// A file that holds `user:password` for the proxy.
    pub proxy_credentials_file: Option<PathBuf>,
    /// A PEM file of authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// The defaults for this address and token.
    #[must_use]
    pub fn new(base_url: BaseUrl, token: TokenSource) -> Self {
        Self {
            base_url,
            token,
            polar_version: POLAR_VERSION.to_owned(),
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            proxy: None,
            proxy_credentials_file: None,
            ca_file: None,
        }
    }

    /// Every fault that can be found without sending anything or reading a file.
    #[must_use]
    pub fn faults(&self) -> Vec<SetupError> {
        let mut faults = Vec::new();
        if self.base_url.is_clear_text() && self.token != TokenSource::None {
            faults.push(SetupError::ClearTextToken { host: self.base_url.host().to_owned() });
        }
        let version = &self.polar_version;
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
            faults.push(SetupError::PolarVersion { version: version.clone() });
        }
        match &self.proxy {
            Some(url) => faults.extend(check_proxy(url).and_then(|()| self.check_use_of_proxy()).err()),
            None if self.proxy_credentials_file.is_some() => faults.push(SetupError::ProxyCredentialsAlone),
            None => {}
        }
        faults
    }

    /// Every fault of the files that must be there from the start. The token file is none of them: it may come later.
    #[must_use]
    pub fn faults_of_files(&self) -> Vec<SetupError> {
        let authorities = self.ca_file.as_ref().and_then(|path| authorities::read(path).err());
        let login = self.proxy_credentials_file.as_ref().and_then(|path| ProxyLogin::read(path).err());
        authorities.into_iter().chain(login).collect()
    }

    fn check_use_of_proxy(&self) -> Result<(), SetupError> {
        if self.base_url.is_https() {
            return Ok(());
        }
        Err(SetupError::ProxyForClearText { host: self.base_url.host().to_owned() })
    }
}

/// Whether a proxy can be at this address.
fn check_proxy(url: &str) -> Result<(), SetupError> {
    let refuse = |fault| Err(SetupError::Proxy { fault });
    let Ok(url) = Url::parse(url) else { return refuse("it is not a URL") };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("its scheme is neither http nor https");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return refuse("it names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse(
            "it carries a user or password, which anybody who sees the settings would read: put `user:password` into a file and name it in polar.proxy_credentials_file",
        );
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return refuse("it goes on after its port");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polar::Token;

    #[test]
    fn a_token_is_never_sent_in_clear_text_to_another_machine() {
        let fixed = || TokenSource::Fixed(Token::parse("polar_oat_x").unwrap());
        let settings = |url, token| Settings::new(BaseUrl::parse(url).unwrap(), token);
        assert!(matches!(
            settings("http://polar.internal", fixed()).faults()[..],
            [SetupError::ClearTextToken { .. }]
        ));
        assert!(settings("http://polar.internal", TokenSource::None).faults().is_empty());
        assert!(settings("http://127.0.0.1:80", fixed()).faults().is_empty());
        assert!(settings("https://polar.internal", fixed()).faults().is_empty());
    }

    #[test]
    fn a_version_that_cannot_be_a_header_is_refused() {
        let mut settings = Settings::new(BaseUrl::parse(BaseUrl::SANDBOX).unwrap(), TokenSource::None);
        for version in ["", "2026 04", "2026-04\n"] {
            version.clone_into(&mut settings.polar_version);
            assert!(matches!(settings.faults()[..], [SetupError::PolarVersion { .. }]));
        }
    }

    fn through(proxy: &str, polar: &str) -> Vec<String> {
        let mut settings = Settings::new(BaseUrl::parse(polar).unwrap(), TokenSource::None);
        settings.proxy = Some(proxy.to_owned());
        settings.faults().iter().map(SetupError::to_string).collect()
    }

    #[test]
    fn a_proxy_is_an_address_and_nothing_more_and_its_password_is_never_echoed() {
        for proxy in ["http://proxy.internal:3128", "https://proxy.internal", "http://[::1]:3128/"] {
            assert!(through(proxy, BaseUrl::SANDBOX).is_empty(), "{proxy}");
        }
        for proxy in [
            "proxy.internal:3128",
            "socks5://proxy.internal",
            "http://user:secret@proxy.internal:3128",
            "http://proxy.internal/secret",
            "http://proxy.internal?secret=1",
            "",
        ] {
            let faults = through(proxy, BaseUrl::SANDBOX);
            assert_eq!(faults.len(), 1, "{proxy}");
            assert!(
                faults[0].contains("http://proxy.internal:3128") && !faults[0].contains("secret"),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn nothing_goes_through_a_proxy_that_could_read_it() {
        let faults = through("http://proxy.internal:3128", "http://127.0.0.1:8899");
        assert!(faults[0].contains("https"), "{faults:?}");
    }

    #[test]
    fn credentials_for_no_proxy_and_files_that_are_not_there_are_faults() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(BaseUrl::parse(BaseUrl::SANDBOX).unwrap(), TokenSource::None);
        settings.proxy_credentials_file = Some(folder.path().join("login"));
        settings.ca_file = Some(folder.path().join("ca.pem"));
        assert!(matches!(settings.faults()[..], [SetupError::ProxyCredentialsAlone]));
        let faults = |settings: &Settings| -> Vec<String> {
            settings.faults_of_files().iter().map(SetupError::to_string).collect()
        };
        let missing = faults(&settings);
        assert!(
            missing[0].contains("ca.pem: there is no such file")
                && missing[1].contains("login: there is no such file")
        );
        std::fs::write(folder.path().join("login"), "user secret").unwrap();
        for (text, words) in [
            ("", "no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", "cut or damaged"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no authority"),
        ] {
            std::fs::write(folder.path().join("ca.pem"), text).unwrap();
            let spoiled = faults(&settings);
            assert!(spoiled[0].contains(words), "{spoiled:?}");
            assert!(spoiled[1].contains("user:password") && !spoiled[1].contains("secret"), "{spoiled:?}");
        }
    }
}
