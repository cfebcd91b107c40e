//! Where Polar is.

use reqwest::Url;

use super::error::SetupError;
use super::wire::INGEST_PATH;

/// Which of Polar's worlds is spoken to: tokens and limits differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Environment {
    /// `https://api.polar.sh`
    Production,
    /// `https://sandbox-api.polar.sh`
    Sandbox,
    /// Any other address: a stand-in, a proxy, an own Polar.
    Custom,
}

impl Environment {
    /// Its name as flags and configuration spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
            Self::Custom => "custom",
        }
    }
}

/// An address requests can be sent to: scheme, host, port and perhaps a path prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    url: Url,
}

impl BaseUrl {
    /// Polar's production.
    pub const PRODUCTION: &'static str = "https://api.polar.sh";
    /// Polar's sandbox.
    pub const SANDBOX: &'static str = "https://sandbox-api.polar.sh";

    /// Reads an address.
    ///
    /// # Errors
    /// When it is no http or https address, or carries what an address of an API has no use for.
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        let refuse = |shown: &str, fault| SetupError::BaseUrl { url: shown.to_owned(), fault };
        let Ok(url) = Url::parse(text) else {
            // Unparsed text may hold a password; it is not repeated.
            return Err(refuse("…", "it is not a URL"));
        };
        let shown = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse(&shown, "its scheme is neither https nor http"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(refuse(&shown, "it names no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse(&shown, "it carries a user or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse(&shown, "it carries a query or fragment"));
        }
        if url.path().trim_end_matches('/').ends_with("/v1") {
            return Err(refuse(&shown, "it must end before /v1"));
        }
        Ok(Self { url })
    }

    /// Which of Polar's worlds this is.
    #[must_use]
    pub fn environment(&self) -> Environment {
        match self.url.host_str() {
            Some("api.polar.sh") => Environment::Production,
            Some("sandbox-api.polar.sh") => Environment::Sandbox,
            _ => Environment::Custom,
        }
    }

    /// Whether what is sent there can be read on its way.
    #[must_use]
    pub fn is_clear_text(&self) -> bool {
        self.url.scheme() == "http" && !self.is_loopback()
    }

    /// Whether what is sent there can be read by nobody but who holds its certificate.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it never leaves this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Where to connect to, when it is on this machine and speaks plain http.
    #[must_use]
    pub fn on_this_machine(&self) -> Option<String> {
        let port = self.url.port_or_known_default().filter(|_| self.is_loopback() && !self.is_https())?;
        Some(format!("{}:{port}", self.host()))
    }

    /// The host's name.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The address without a trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The address of an endpoint, each segment of its path escaped; an empty one at the end is a slash at the end.
    pub(super) fn endpoint(&self, segments: &[&str]) -> Url {
        let mut url = self.url.clone();
        // An http address always has a path to add to.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Where events go. A path prefix stays in front; nothing is joined by URL rules.
    pub(super) fn ingest(&self) -> Url {
        let mut url = self.url.clone();
        let prefix = self.url.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}{INGEST_PATH}"));
        url
    }

    /// Where a path below this address is; `None` for one that a URL spells differently, because nobody could say then
    /// whether what was looked at is what is asked for. Nothing is joined by URL rules.
    pub(super) fn below(&self, path: &str, query: Option<&str>) -> Option<Url> {
        let mut url = self.url.clone();
        let prefix = self.url.path().trim_end_matches('/');
        let wanted = format!("{prefix}{path}");
        url.set_path(&wanted);
        url.set_query(query);
        (url.path() == wanted && url.origin() == self.url.origin()).then_some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_to_the_same_path_whether_or_not_the_address_ends_in_a_slash() {
        for (base, target) in [
            ("https://api.polar.sh", "https://api.polar.sh/v1/events/ingest"),
            ("https://api.polar.sh/", "https://api.polar.sh/v1/events/ingest"),
            ("http://127.0.0.1:9000/polar/", "http://127.0.0.1:9000/polar/v1/events/ingest"),
        ] {
            assert_eq!(BaseUrl::parse(base).unwrap().ingest().as_str(), target);
        }
    }

    #[test]
    fn a_path_stays_below_the_address_or_has_no_place() {
        let base = BaseUrl::parse("http://127.0.0.1:9000/polar/").unwrap();
        let below = |path, query| base.below(path, query).map(String::from);
        assert_eq!(
            below("/v1/customers/external/a%2Fb", Some("limit=1&q=//evil.example")).as_deref(),
            Some("http://127.0.0.1:9000/polar/v1/customers/external/a%2Fb?limit=1&q=//evil.example")
        );
        for odd in
            ["/v1/../../x", "/v1/%2e%2e/x", "/v1/./x", "/v1\\x", "/v1/a b", "/v1/a?b", "/v1/a#b", "/v1/\n"]
        {
            assert_eq!(below(odd, None), None, "{odd}");
        }
        let root = BaseUrl::parse("https://api.polar.sh").unwrap();
        for path in ["//evil.example/v1/x", "@evil.example/v1", ":99/v1", ".evil.example/"] {
            let host = root.below(path, None).map(|url| url.host_str().unwrap().to_owned());
            assert!(host.is_none() || host.as_deref() == Some("api.polar.sh"), "{path}: {host:?}");
        }
    }

    #[test]
    fn an_id_in_a_path_stays_one_segment_whatever_is_in_it() {
        let base = BaseUrl::parse("http://127.0.0.1:9000/polar/").unwrap();
        let customer = base.endpoint(&["v1", "customers", "external", "a/b?c#d e%2F.."]);
        assert_eq!(
            customer.as_str(),
            "http://127.0.0.1:9000/polar/v1/customers/external/a%2Fb%3Fc%23d%20e%252F.."
        );
        assert_eq!(base.endpoint(&["v1", "meters", ""]).path(), "/polar/v1/meters/");
    }

    #[test]
    fn an_address_that_is_no_base_of_an_api_is_refused_without_its_password() {
        for text in [
            "api.polar.sh",
            "ftp://api.polar.sh",
            "https://user:secret@api.polar.sh",
            "https://api.polar.sh/?secret=1",
            "https://api.polar.sh/#secret",
            "https://api.polar.sh/v1/",
            "unix:/run/secret.sock",
        ] {
            let error = BaseUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn environments_and_loopback_are_told_by_the_host() {
        let parse = |text| BaseUrl::parse(text).unwrap();
        assert_eq!(parse(BaseUrl::PRODUCTION).environment(), Environment::Production);
        assert_eq!(parse(BaseUrl::SANDBOX).environment(), Environment::Sandbox);
        assert_eq!(parse("https://api.polar.sh.example.org").environment(), Environment::Custom);
        for loopback in ["http://localhost:1", "http://127.0.0.1:1", "http://127.8.8.8", "http://[::1]:1"] {
            assert!(parse(loopback).is_loopback() && !parse(loopback).is_clear_text(), "{loopback}");
        }
        let place = |text| parse(text).on_this_machine();
        assert_eq!(place("http://127.0.0.1:1/polar").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(place("http://[::1]").as_deref(), Some("[::1]:80"));
        assert_eq!((place("https://127.0.0.1:1"), place("http://polar.internal:1")), (None, None));
        assert!(parse("http://polar.internal").is_clear_text());
        assert!(!parse("https://polar.internal").is_clear_text());
    }
}
