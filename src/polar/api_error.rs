//! Why Polar did not do what one of its other endpoints was asked for. No text here shows a token, or what was sent.

use super::base_url::Environment;
use super::error::SetupError;
use super::unreachable::Unreachable;

/// Why there is no answer that could be used.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nothing could be sent.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// There is no token to send.
    #[error("there is no access token for Polar ({}); set POLAR_ACCESS_TOKEN, or give --token-file FILE", .0.as_str())]
    NoToken(Environment),
    /// 401
    #[error("Polar ({}) does not know the token: it is wrong, expired, or of the other environment", .0.as_str())]
    Unauthorized(Environment),
    /// 403
    #[error(
        "the token lacks the scope {}; make one that has it in Polar's dashboard, in the settings of your organization",
        one_of(scopes)
    )]
    Forbidden {
        /// Any one of these would do.
        scopes: Vec<String>,
    },
    /// 404 for an object.
    #[error("Polar does not know it")]
    NotFound,
    /// 404 for everything: the address or the version.
    #[error(
        "nothing at {address} answers as Polar does; check --polar-url (it ends before /v1) and the version {version}"
    )]
    WrongAddress {
        /// Where it was asked.
        address: String,
        /// The `Polar-Version` that was sent.
        version: String,
    },
    /// 407
    #[error("the proxy on the way wants a user and a password; put them in polar.proxy_credentials_file")]
    ProxyLogin,
    /// 422
    #[error("Polar refused it: {0}")]
    Refused(String),
    /// 429
    #[error("Polar's rate limit is used up by whatever your organization does; try again in {} s", retry_after_seconds.unwrap_or(60))]
    RateLimited {
        /// How long Polar wants to be left alone.
        retry_after_seconds: Option<u64>,
    },
    /// 5xx
    #[error("Polar answered {status}; try again in a moment")]
    Server {
        /// The status.
        status: u16,
    },
    /// An answer that can't be Polar's, a redirect included.
    #[error(
        "what answers at {address} is not Polar (status {status}): a proxy, a login page, or a wrong --polar-url"
    )]
    NotPolar {
        /// Where it was asked.
        address: String,
        /// The status.
        status: u16,
    },
    /// No answer at all.
    #[error("Polar can't be reached at {address}: {}", .reason.describe())]
    Unreachable {
        /// Where it was asked.
        address: String,
        /// Why not.
        reason: Unreachable,
    },
}

fn one_of(scopes: &[String]) -> String {
    if scopes.is_empty() {
        "that this takes".to_owned()
    } else {
        scopes.join(" (or ") + &")".repeat(scopes.len() - 1)
    }
}

/// The scopes that a `WWW-Authenticate` of a 403 names.
pub(super) fn scopes_of(challenge: &str) -> Vec<String> {
    let quoted = challenge.split_once("scope=\"").and_then(|(_, rest)| rest.split_once('"'));
    let named = quoted.map(|(scopes, _)| scopes).unwrap_or_default();
    named.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_scope_is_read_from_polars_challenge() {
        let challenge = r#"Bearer realm="polar", error="insufficient_scope", error_description="The request requires higher privileges than provided by the access token.", scope="meters:read meters:write""#;
        let scopes = scopes_of(challenge);
        assert_eq!(scopes, ["meters:read", "meters:write"]);
        let told = ApiError::Forbidden { scopes }.to_string();
        assert!(told.contains("lacks the scope meters:read (or meters:write);"), "{told}");
        assert!(scopes_of(r#"Bearer realm="polar""#).is_empty());
        assert!(scopes_of(r#"Bearer scope="torn"#).is_empty());
    }
}
