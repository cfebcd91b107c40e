//! Noticing apps that bring a token of Polar which is not this daemon's.
//!
//! What they send is delivered with the daemon's own token. When theirs is of another organization, their usage lands
//! in the wrong one, and everything looks well: somebody must be told.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use hyper::header::{AUTHORIZATION, HeaderMap};

/// How an organization's access token begins. Any other word may be a placeholder, and says nothing.
const TOKEN_START: &str = "polar_oat_";
/// Tokens that were warned of; more of them are only counted.
const WARNED_OF_MAX: usize = 64;

type OwnFingerprint = dyn Fn(&RandomState) -> Option<u64> + Send + Sync;

/// Knows the fingerprint of the daemon's token, and of those that were warned of. No token is kept.
pub struct ForeignTokens {
    /// Keyed anew in each process, so that a fingerprint says nothing to anybody else.
    hasher: RandomState,
    own: Box<OwnFingerprint>,
    warned_of: Mutex<Vec<u64>>,
}

/// What a request's token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// Ours, none, or nothing that could be compared.
    Unremarkable,
    /// Another one, for the first time.
    NewForeign,
    /// Another one that was seen before.
    KnownForeign,
}

impl ForeignTokens {
    /// `own` is asked for each request, because the daemon's token may change: the hash of the token in use, by the
    /// hasher it is given.
    #[must_use]
    pub fn new(own: impl Fn(&RandomState) -> Option<u64> + Send + Sync + 'static) -> Self {
        Self { hasher: RandomState::new(), own: Box::new(own), warned_of: Mutex::default() }
    }

    /// Looks at the token of a request.
    pub(super) fn look(&self, headers: &HeaderMap) -> Carried {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let Some(token) = bearer.filter(|token| token.starts_with(TOKEN_START)) else {
            return Carried::Unremarkable;
        };
        let fingerprint = self.hasher.hash_one(token);
        match (self.own)(&self.hasher) {
            Some(own) if own != fingerprint => {}
            Some(_) | None => return Carried::Unremarkable,
        }
        let mut warned_of = self.warned_of.lock().unwrap_or_else(PoisonError::into_inner);
        if warned_of.contains(&fingerprint) || warned_of.len() >= WARNED_OF_MAX {
            return Carried::KnownForeign;
        }
        warned_of.push(fingerprint);
        Carried::NewForeign
    }
}

/// What follows the scheme, which may be written in any case.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl fmt::Debug for ForeignTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignTokens").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn look(tokens: &ForeignTokens, authorization: &str) -> Carried {
        let value = HeaderValue::from_str(authorization).unwrap();
        tokens.look(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    #[test]
    fn a_foreign_token_is_new_once_and_ours_never_is() {
        let tokens = ForeignTokens::new(|hasher| Some(hasher.hash_one("polar_oat_ours")));
        assert_eq!(look(&tokens, "Bearer polar_oat_ours"), Carried::Unremarkable);
        assert_eq!(look(&tokens, "bearer  polar_oat_ours "), Carried::Unremarkable);
        assert_eq!(look(&tokens, "Bearer polar_oat_theirs"), Carried::NewForeign);
        assert_eq!(look(&tokens, "Bearer polar_oat_theirs"), Carried::KnownForeign);
        assert_eq!(look(&tokens, "Bearer polar_oat_others"), Carried::NewForeign);
    }

    #[test]
    fn what_is_no_token_of_an_organization_says_nothing() {
        let tokens = ForeignTokens::new(|hasher| Some(hasher.hash_one("polar_oat_ours")));
        for authorization in ["Bearer undefined", "Bearer ", "Basic polar_oat_theirs", "polar_oat_theirs"] {
            assert_eq!(look(&tokens, authorization), Carried::Unremarkable, "{authorization}");
        }
        assert_eq!(tokens.look(&HeaderMap::new()), Carried::Unremarkable);
        let tokenless = ForeignTokens::new(|_| None);
        assert_eq!(look(&tokenless, "Bearer polar_oat_theirs"), Carried::Unremarkable);
    }

    #[test]
    fn a_flood_of_tokens_is_warned_of_within_bounds() {
        let tokens = ForeignTokens::new(|hasher| Some(hasher.hash_one("polar_oat_ours")));
        let news =
            (0..1_000).filter(|n| look(&tokens, &format!("Bearer polar_oat_{n}")) == Carried::NewForeign);
        assert_eq!(news.count(), WARNED_OF_MAX);
    }
}
