//! Why delivery is held: faults that only a person can mend.

use crate::polar::Environment;

/// A fault that concerns every event and that time alone does not mend. Everything stays, and is sent once it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// There is no token.
    NoToken,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 3xx
    Redirected,
    /// 407
    ProxyLogin,
    /// A 200 that does not prove that Polar has the events.
    AnswerMismatch,
}

impl HoldReason {
    /// Every reason, in the order of their indices.
    pub const ALL: [Self; 7] = [
        Self::NoToken,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Redirected,
        Self::ProxyLogin,
        Self::AnswerMismatch,
    ];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Redirected => "redirected",
            Self::ProxyLogin => "proxy_login",
            Self::AnswerMismatch => "answer_mismatch",
        }
    }

    /// What is wrong and what a person does about it. `token_fix` is a clause that says how to give another token;
    /// `token_worked`: Polar has taken the one in use before.
    #[must_use]
    pub fn explain(self, environment: Environment, token_fix: &str, token_worked: bool) -> String {
        let likely = match (token_worked, environment) {
            (true, _) => "; it worked until now, so it has expired or was revoked",
            (false, Environment::Production) => {
                "; this looks like a sandbox token against production: for the sandbox, set --environment sandbox"
            }
            (false, Environment::Sandbox) => {
                "; this looks like a production token against the sandbox: for production, set --environment production"
            }
            (false, Environment::Custom) => "",
        };
        let environment = environment.as_str();
        match self {
            Self::NoToken => format!("there is no access token for Polar ({environment}); {token_fix}"),
            Self::Unauthorized => format!(
                "Polar answered 401: the token is not valid for this environment ({environment}){likely}; {token_fix}"
            ),
            Self::Forbidden => format!(
                "Polar answered 403: the token lacks the scope events:write ({environment}); {token_fix}"
            ),
            Self::NotFound if token_worked => format!(
                "Polar ({environment}) took events until now, and its address answers 404: something on the way has changed, or refuses what these events say; look at what answers at --polar-url"
            ),
            Self::Redirected if token_worked => format!(
                "Polar ({environment}) took events until now, and its address answers with a redirect, which is never followed with a token: something on the way has changed, or refuses what these events say; look at what answers at --polar-url"
            ),
            Self::NotFound => format!(
                "Polar answered 404 ({environment}): the address or the Polar-Version is wrong; check --polar-url and the version, then restart sledge"
            ),
            Self::Redirected => format!(
                "the address of Polar ({environment}) answered with a redirect, which is never followed with a token; set --polar-url to the final address, then restart sledge"
            ),
            Self::ProxyLogin => format!(
                "a proxy on the way to Polar ({environment}) wants a user and a password (407): put `user:password` into a file, name it in polar.proxy_credentials_file, then restart sledge"
            ),
            Self::AnswerMismatch => format!(
                "the answers from the address of Polar ({environment}) do not prove that it has the events, so they are kept and sent again; check that --polar-url is Polar itself and no proxy answers in its place"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_token_is_told_from_one_of_the_other_environment_as_far_as_that_can_be_told() {
        let told = |environment, token_worked| {
            HoldReason::Unauthorized.explain(environment, "put a valid one in /token", token_worked)
        };
        let never = told(Environment::Production, false);
        assert!(never.contains("looks like a sandbox token against production"), "{never}");
        assert!(
            never.contains("--environment sandbox") && never.ends_with("put a valid one in /token"),
            "{never}"
        );
        let other_way = told(Environment::Sandbox, false);
        assert!(other_way.contains("looks like a production token against the sandbox"), "{other_way}");
        let expired = told(Environment::Production, true);
        assert!(expired.contains("worked until now") && !expired.contains("sandbox"), "{expired}");
        assert!(!told(Environment::Custom, false).contains("looks like"));
    }

    #[test]
    fn an_address_that_was_right_until_now_is_not_called_wrong() {
        for reason in [HoldReason::NotFound, HoldReason::Redirected] {
            let told = |worked| reason.explain(Environment::Production, "put a valid one in /token", worked);
            assert!(told(false).contains("then restart sledge"), "{}", told(false));
            assert!(told(true).contains("took events until now"), "{}", told(true));
            assert!(!told(true).contains("restart"), "{}", told(true));
        }
    }
}
