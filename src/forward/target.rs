//! Where at Polar a request goes, going by the address it came with.

use hyper::Uri;

use crate::protocol::Route;

/// A path and a query below Polar's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// It begins with `/v1/` and has no empty segment but perhaps the last.
    pub(super) path: String,
    pub(super) query: Option<String>,
}

impl Target {
    /// The target of a request that names a path only; `None` for every other one, and where the path is intake's, or
    /// might be read in two ways.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        if uri.scheme().is_some() || uri.authority().is_some() || Route::of_path(uri.path()) != Route::Polar {
            return None;
        }
        let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        // Encoded, the first segments might hold slashes: what was looked at would not be what is sent.
        if segments.first() != Some(&"v1") || segments.len() < 2 {
            return None;
        }
        // Polar's collections end in a slash, and it redirects to that.
        let end = if uri.path().ends_with('/') { "/" } else { "" };
        let path = format!("/{}{end}", segments.join("/"));
        Some(Self { path, query: uri.query().map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target(uri: &str) -> Option<(String, Option<String>)> {
        Target::of(&uri.parse().unwrap()).map(|target| (target.path, target.query))
    }

    #[test]
    fn a_path_below_v1_is_kept_to_the_letter_but_for_doubled_slashes() {
        let path = |uri| target(uri).unwrap().0;
        assert_eq!(path("/v1/meters/"), "/v1/meters/");
        assert_eq!(path("//v1/meters/"), "/v1/meters/");
        assert_eq!(path("///v1//customers///external/a%2Fb"), "/v1/customers/external/a%2Fb");
        assert_eq!(path("/v1/customers/external/100%25"), "/v1/customers/external/100%25");
        assert_eq!(path("/v1/events/ingest/more"), "/v1/events/ingest/more");
        let query = Some("external_customer_id=a%2Fb&x=//evil.example/..".to_owned());
        assert_eq!(
            target("/v1/customer-meters/?external_customer_id=a%2Fb&x=//evil.example/.."),
            Some(("/v1/customer-meters/".to_owned(), query))
        );
    }

    #[test]
    fn what_is_intake_or_not_polars_or_may_be_read_in_two_ways_has_no_target() {
        for uri in [
            "/v1/events/ingest",
            "//v1/events/%69ngest",
            "/v1%2fevents/ingest",
            "/v1",
            "/v1/",
            "/",
            "/v2/meters",
            "/sledge/v1/grants",
            "//evil.example/v1/meters",
            "/evil.example/../v1/meters",
            "/v1/../meters",
            "/v1/%2e%2e/meters",
            "/v1/.%2e/meters",
            "/v1/%252e%252e/meters",
            "/v1/./meters",
            "/v1/a%5cb",
            "/v1/a%0d%0aHost:%20evil.example",
            "/%76%31/meters",
            "/v1%2Fmeters",
            "/v1%2F..%2F..%2Fmeters",
            "http://evil.example/v1/meters",
            "evil.example:443",
            "*",
        ] {
            assert_eq!(target(uri), None, "{uri}");
        }
    }

    proptest! {
        /// Whatever the path, a target stays below /v1, in one reading, and is no intake.
        #[test]
        fn a_target_never_leaves_v1_and_is_never_intake(
            path in "(/|//|%2[fF]|\\.|%2[eE]|%252e|%5[cC]|v1|%76|events|ingest|%69ngest|meters|a|:|@|;|=|evil\\.example){0,12}",
        ) {
            let Ok(uri) = format!("/{path}").parse::<Uri>() else { return Ok(()) };
            let Some(target) = Target::of(&uri) else { return Ok(()) };
            prop_assert!(target.path.starts_with("/v1/") && !target.path.contains("//"), "{}", target.path);
            prop_assert_eq!(Route::of_path(&target.path), Route::Polar);
            for segment in target.path.split('/') {
                let decoded = segment.replace("%2e", ".").replace("%2E", ".");
                prop_assert!(!matches!(decoded.as_str(), "." | ".."), "{}", target.path);
            }
        }
    }
}
