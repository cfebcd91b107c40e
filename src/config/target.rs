//! Which Polar events go to.

use super::fault::Fault;
use super::origin::{Given, Origin};
use super::surroundings::Surroundings;
use crate::polar::{BaseUrl, Environment};

/// The environments that have a name of their own.
const NAMED: [(Environment, &str); 2] =
    [(Environment::Production, BaseUrl::PRODUCTION), (Environment::Sandbox, BaseUrl::SANDBOX)];

/// The address events go to and who named it, from `--polar-url`, `--environment` and the variables Polar's users know.
pub(super) fn target(
    url: Option<Given<String>>,
    environment: Option<Given<String>>,
    surroundings: &Surroundings,
) -> Result<(BaseUrl, Origin), Vec<Fault>> {
    let url = url.map(|given| (read_url(&given), given.origin));
    let environment = environment.map(|given| (read_environment(&given), given.origin));
    let alone = |fault: Fault| vec![fault];
    match (url, environment) {
        (None, None) => {
            let (environment, origin) = ambient_environment(surroundings)?;
            Ok((address(environment, &origin).map_err(alone)?, origin))
        }
        (None, Some((environment, origin))) => {
            let url = environment.and_then(|environment| address(environment, &origin));
            Ok((url.map_err(alone)?, origin))
        }
        (Some((url, origin)), None) => Ok((url.map_err(alone)?, origin)),
        (Some((Ok(url), origin)), Some((Ok(environment), _))) if url.environment() == environment => {
            Ok((url, origin))
        }
        (Some((Ok(url), origin)), Some((Ok(environment), environment_origin))) => {
            let problem = format!(
                "{} is not the address of {} (environment, {environment_origin})",
                url.as_str(),
                environment.as_str()
            );
            let fix = match origin {
                Origin::Variable(name) if url.is_loopback() => format!(
                    "give only one of --polar-url and --environment (where a `sledge dev` told to set {name}, unset it)"
                ),
                _ => "give only one of --polar-url and --environment".to_owned(),
            };
            Err(vec![Fault::new("polar_url", &origin, &problem, &fix)])
        }
        (Some((url, _)), Some((environment, _))) => {
            Err([url.err(), environment.err()].into_iter().flatten().collect())
        }
    }
}

/// `POLAR_MODE` and `POLAR_SERVER` are other programs' variables: what they say must be clear, since guessing wrong
/// turns play money into real money.
fn ambient_environment(surroundings: &Surroundings) -> Result<(Environment, Origin), Vec<Fault>> {
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
                faults.push(Fault::new("environment", &given.origin, &problem, "give --environment"));
            }
        }
    }
    if faults.is_empty() {
        Ok(named.unwrap_or((Environment::Production, Origin::Default)))
    } else {
        Err(faults)
    }
}

fn read_environment(given: &Given<String>) -> Result<Environment, Fault> {
    let known = NAMED.into_iter().find(|(environment, _)| environment.as_str() == given.value);
    known.map(|(environment, _)| environment).ok_or_else(|| {
        let problem = format!("{:?} is not an environment of Polar", given.value);
        Fault::new("environment", &given.origin, &problem, "write production or sandbox")
    })
}

fn address(environment: Environment, origin: &Origin) -> Result<BaseUrl, Fault> {
    let url = NAMED.into_iter().find(|(known, _)| *known == environment).map_or("", |(_, url)| url);
    BaseUrl::parse(url).map_err(|error| Fault::found("environment", origin, &error))
}

fn read_url(given: &Given<String>) -> Result<BaseUrl, Fault> {
    BaseUrl::parse(&given.value).map_err(|error| Fault::found("polar_url", &given.origin, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        url: Option<&str>,
        environment: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<String, Vec<Fault>> {
        let url = url.map(|url| Given::by_flag(url.to_owned()));
        let environment = environment.map(|name| Given::by_variable("SLEDGE_ENVIRONMENT", name.to_owned()));
        let target = target(url, environment, &Surroundings::made_up(variables, &[], false));
        target.map(|(url, _)| url.as_str().to_owned())
    }

    #[test]
    fn production_is_the_default() {
        assert_eq!(resolve(None, None, &[]).unwrap(), BaseUrl::PRODUCTION);
    }

    #[test]
    fn the_variables_polars_users_know_choose_the_environment() {
        for name in ["POLAR_MODE", "POLAR_SERVER"] {
            assert_eq!(resolve(None, None, &[(name, "sandbox")]).unwrap(), BaseUrl::SANDBOX);
        }
        let own = resolve(None, Some("production"), &[("POLAR_MODE", "sandbox")]).unwrap();
        assert_eq!(own, BaseUrl::PRODUCTION);
    }

    #[test]
    fn an_unclear_environment_is_never_guessed() {
        let faults = resolve(None, None, &[("POLAR_MODE", "staging")]).unwrap_err();
        assert_eq!(faults[0].origin, Origin::Variable("POLAR_MODE"));
        let faults =
            resolve(None, None, &[("POLAR_MODE", "sandbox"), ("POLAR_SERVER", "production")]).unwrap_err();
        assert!(faults[0].message.contains("contradicts"), "{}", faults[0]);
        assert!(resolve(None, Some("Production"), &[]).is_err());
        assert!(resolve(None, Some("custom"), &[]).is_err());
    }

    #[test]
    fn an_address_and_another_environment_contradict_each_other() {
        let faults = resolve(Some("https://api.polar.sh"), Some("sandbox"), &[]).unwrap_err();
        assert!(faults[0].to_string().contains("only one of"), "{}", faults[0]);
        assert!(resolve(Some("http://127.0.0.1:8000"), Some("sandbox"), &[]).is_err());
        let same = resolve(Some("https://sandbox-api.polar.sh/"), Some("sandbox"), &[]).unwrap();
        assert_eq!(same, BaseUrl::SANDBOX);
    }

    #[test]
    fn an_address_outweighs_the_variables_of_other_programs() {
        let target = resolve(Some("http://127.0.0.1:8000"), None, &[("POLAR_MODE", "sandbox")]).unwrap();
        assert_eq!(target, "http://127.0.0.1:8000");
    }

    #[test]
    fn a_wrong_address_and_a_wrong_environment_are_both_reported() {
        let faults = resolve(Some("api.polar.sh"), Some("staging"), &[]).unwrap_err();
        assert_eq!(
            faults.iter().map(|fault| fault.key.as_str()).collect::<Vec<_>>(),
            ["polar_url", "environment"]
        );
    }
}
