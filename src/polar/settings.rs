//! How Polar is reached.

use std::time::Duration;

use super::base_url::BaseUrl;
use super::credentials::TokenSource;
use super::error::SetupError;
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
        }
    }

    /// Checks what can be checked without sending anything.
    ///
    /// # Errors
    /// When a token would travel in clear text, or the version can't be a header.
    pub fn check(&self) -> Result<(), SetupError> {
        if self.base_url.is_clear_text() && self.token != TokenSource::None {
            return Err(SetupError::ClearTextToken { host: self.base_url.host().to_owned() });
        }
        let version = &self.polar_version;
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SetupError::PolarVersion { version: version.clone() });
        }
        Ok(())
    }
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
            settings("http://polar.internal", fixed()).check(),
            Err(SetupError::ClearTextToken { .. })
        ));
        assert!(settings("http://polar.internal", TokenSource::None).check().is_ok());
        assert!(settings("http://127.0.0.1:80", fixed()).check().is_ok());
        assert!(settings("https://polar.internal", fixed()).check().is_ok());
    }

    #[test]
    fn a_version_that_cannot_be_a_header_is_refused() {
        let mut settings = Settings::new(BaseUrl::parse(BaseUrl::SANDBOX).unwrap(), TokenSource::None);
        for version in ["", "2026 04", "2026-04\n"] {
            version.clone_into(&mut settings.polar_version);
            assert!(matches!(settings.check(), Err(SetupError::PolarVersion { .. })));
        }
    }
}
