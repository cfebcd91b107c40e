//! Which Polar events go to.

use hyper::Uri;

use super::fault::Fault;
use super::raw_config::{Given, Origin, RawConfig};
use super::surroundings::Surroundings;

/// One of Polar's two worlds. Their tokens are separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Real money.
    Production,
    /// Play money.
    Sandbox,
}

impl Environment {
    /// Both environments.
    pub const ALL: [Self; 2] = [Self::Production, Self::Sandbox];

    /// Its name, as flags and variables spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Sandbox => "sandbox",
        }
    }

    /// Its address.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::Production => "https://api.polar.sh",
            Self::Sandbox => "https://sandbox-api.polar.sh",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Scheme, host and port, without a closing slash.
    pub url: String,
    /// Which of Polar's own environments that is; `None` for any other address. Decides the request budget.
    pub environment: Option<Environment>,
}

impl Target {
    /// The address of one of Polar's environments.
    #[must_use]
    pub fn of(environment: Environment) -> Self {
        Self { url: environment.url().to_owned(), environment: Some(environment) }
    }

    /// Whether the token would cross a network unencrypted.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let Ok(uri) = self.url.parse::<Uri>() else { return false };
        uri.scheme_str() == Some("http") && !is_loopback(uri.host().unwrap_or_default())
    }
}

/// The target, from `--polar-url`, `--environment` and the variables Polar's users know.
pub(super) fn target(raw: &mut RawConfig, surroundings: &Surroundings) -> Result<Target, Vec<Fault>> {
    let url = raw.polar_url.take().map(|given| (read_url(&given), given.origin));
    let environment = raw.environment.take().map(|given| (read_environment(&given), given.origin));
    match (url, environment) {
        (None, None) => ambient_environment(surroundings).map(Target::of),
        (None, Some((environment, _))) => environment.map(Target::of).map_err(|fault| vec![fault]),
        (Some((url, _)), None) => url.map_err(|fault| vec![fault]),
        (Some((Ok(url), _)), Some((Ok(environment), _))) if url.environment == Some(environment) => Ok(url),
        (Some((Ok(url), origin)), Some((Ok(environment), environment_origin))) => {
            let problem = format!(
                "{} is not the address of {} (environment, {environment_origin})",
                url.url,
                environment.as_str()
            );
            Err(vec![Fault::new(
                "polar_url",
                &origin,
                problem,
                "give only one of --polar-url and --environment",
            )])
        }
        (Some((url, _)), Some((environment, _))) => {
            Err([url.err(), environment.err()].into_iter().flatten().collect())
        }
    }
}

/// `POLAR_MODE` and `POLAR_SERVER` are other programs' variables: what they say must be clear, since guessing wrong
/// turns play money into real money.
fn ambient_environment(surroundings: &Surroundings) -> Result<Environment, Vec<Fault>> {
    let given = ["POLAR_MODE", "POLAR_SERVER"].into_iter().filter_map(|name| {
        let value = surroundings.variable(name)?.to_string_lossy().into_owned();
        Some(Given::by_variable(name, value))
    });
    let mut named: Option<(Environment, Origin)> = None;
    let mut faults = Vec::new();
    for given in given {
        match (read_environment(&given), &named) {
            (Err(fault), _) => faults.push(fault),
            (Ok(environment), None) => named = Some((environment, given.origin)),
            (Ok(environment), Some((first, _))) if *first == environment => {}
            (Ok(environment), Some((first, origin))) => {
                let problem = format!("{:?} contradicts {:?} {origin}", environment.as_str(), first.as_str());
                faults.push(Fault::new("environment", &given.origin, problem, "give --environment"));
            }
        }
    }
    if faults.is_empty() {
        Ok(named.map_or(Environment::Production, |(named, _)| named))
    } else {
        Err(faults)
    }
}

fn read_environment(given: &Given<String>) -> Result<Environment, Fault> {
    Environment::named(&given.value).ok_or_else(|| {
        let problem = format!("{:?} is not an environment of Polar", given.value);
        Fault::new("environment", &given.origin, problem, "write production or sandbox")
    })
}

fn read_url(given: &Given<String>) -> Result<Target, Fault> {
    let fault = |problem: &str, fix: &str| {
        let mut shown = given.value.clone();
        if shown.contains('@') {
            shown = "the address".to_owned();
        }
        Fault::new("polar_url", &given.origin, format!("{shown} {problem}"), fix)
    };
    let example = "write an address such as https://api.polar.sh";
    let uri: Uri = given.value.parse().map_err(|_| fault("is not a URL", example))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(fault("has no https:// in front", example));
    };
    if !matches!(scheme, "https" | "http") {
        return Err(fault("is neither https nor http", example));
    }
    if authority.as_str().contains('@') {
        return Err(fault(
            "carries a user name or password",
            "leave it out; the token comes from --token-file",
        ));
    }
    if authority.host().is_empty() {
        return Err(fault("names no host", example));
    }
    if uri.path() != "/" || uri.query().is_some() {
        return Err(fault("has a path", "leave out everything after the host; /v1 is added by itself"));
    }
    let url = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
    let environment = Environment::ALL.into_iter().find(|known| known.url() == url);
    Ok(Target { url, environment })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        url: Option<&str>,
        environment: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Target, Vec<Fault>> {
        let mut raw = RawConfig {
            polar_url: url.map(|url| Given::by_flag(url.to_owned())),
            environment: environment.map(|name| Given::by_variable("SLEDGE_ENVIRONMENT", name.to_owned())),
            ..RawConfig::default()
        };
        target(&mut raw, &Surroundings::made_up(variables, &[], false))
    }

    #[test]
    fn production_is_the_default() {
        assert_eq!(resolve(None, None, &[]).unwrap(), Target::of(Environment::Production));
    }

    #[test]
    fn the_variables_polars_users_know_choose_the_environment() {
        for name in ["POLAR_MODE", "POLAR_SERVER"] {
            assert_eq!(resolve(None, None, &[(name, "sandbox")]).unwrap(), Target::of(Environment::Sandbox));
        }
        let own = resolve(None, Some("production"), &[("POLAR_MODE", "sandbox")]).unwrap();
        assert_eq!(own, Target::of(Environment::Production));
    }

    #[test]
    fn an_unclear_environment_is_never_guessed() {
        let faults = resolve(None, None, &[("POLAR_MODE", "staging")]).unwrap_err();
        assert_eq!(faults[0].origin, Origin::Variable("POLAR_MODE"));
        let faults =
            resolve(None, None, &[("POLAR_MODE", "sandbox"), ("POLAR_SERVER", "production")]).unwrap_err();
        assert!(faults[0].problem.contains("contradicts"), "{}", faults[0]);
        assert!(resolve(None, Some("Production"), &[]).is_err());
    }

    #[test]
    fn an_address_and_another_environment_contradict_each_other() {
        let faults = resolve(Some("https://api.polar.sh"), Some("sandbox"), &[]).unwrap_err();
        assert!(faults[0].to_string().contains("only one of"), "{}", faults[0]);
        assert!(resolve(Some("http://127.0.0.1:8000"), Some("sandbox"), &[]).is_err());
        let same = resolve(Some("https://sandbox-api.polar.sh/"), Some("sandbox"), &[]).unwrap();
        assert_eq!(same, Target::of(Environment::Sandbox));
    }

    #[test]
    fn an_address_outweighs_the_variables_of_other_programs() {
        let target = resolve(Some("http://127.0.0.1:8000"), None, &[("POLAR_MODE", "sandbox")]).unwrap();
        assert_eq!(target, Target { url: "http://127.0.0.1:8000".to_owned(), environment: None });
    }

    #[test]
    fn an_address_is_scheme_and_host_only() {
        for wrong in [
            "api.polar.sh",
            "https://api.polar.sh/v1",
            "https://api.polar.sh?x",
            "ftp://api.polar.sh",
            "https://",
            "",
            "https://me:secret@api.polar.sh",
            "https:// api",
        ] {
            let faults = resolve(Some(wrong), None, &[]).unwrap_err();
            assert!(!faults[0].to_string().contains("secret"), "{}", faults[0]);
        }
    }

    #[test]
    fn only_plain_http_to_another_machine_exposes_the_token() {
        let exposed = |url: &str| resolve(Some(url), None, &[]).unwrap().is_exposed();
        assert!(exposed("http://polar.internal:8000"));
        assert!(
            !exposed("http://127.0.0.1:8000")
                && !exposed("http://[::1]:8000")
                && !exposed("http://localhost:1")
        );
        assert!(!exposed("https://polar.internal"));
    }
}
