//! The id of a grant that a customer is to get once, however often a campaign is run.

use crate::event::ONCE;
use crate::polar::CustomerKey;

/// `once:KEY:external:ID` or `once:KEY:polar:UUID`. Within the key `%` and `:` are written as `%25` and `%3A`, and the
/// customer comes last as it is: so no two pairs of a key and a customer share an id. It never changes with versions, for
/// Polar keeps ids for ever.
pub(super) fn once_id(key: &str, customer: &CustomerKey) -> String {
    let key = key.replace('%', "%25").replace(':', "%3A");
    match customer {
        CustomerKey::External(id) => format!("{ONCE}{key}:external:{id}"),
        // One UUID may be written in several ways.
        CustomerKey::Id(id) => {
            let id = uuid::Uuid::parse_str(id).map_or_else(|_| id.clone(), |id| id.to_string());
            format!("{ONCE}{key}:polar:{id}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn external(id: &str) -> CustomerKey {
        CustomerKey::External(id.to_owned())
    }

    #[test]
    fn an_id_of_today_is_the_id_of_ever() {
        assert_eq!(once_id("welcome-2026", &external("user_123")), "once:welcome-2026:external:user_123");
        assert_eq!(once_id("50% off: all", &external("a:b")), "once:50%25 off%3A all:external:a:b");
        let id = "7D9C36B1-5F3E-4C1A-9C55-0123456789AB";
        let expected = "once:k:polar:7d9c36b1-5f3e-4c1a-9c55-0123456789ab";
        assert_eq!(once_id("k", &CustomerKey::Id(id.to_owned())), expected);
    }

    proptest! {
        /// Wherever a text that looks like an id is cut into a key and a customer, another id comes of it.
        #[test]
        fn no_two_pairs_of_key_and_customer_share_an_id(
            pieces in proptest::collection::vec("[a:%25A3]{0,4}", 2..6),
            joint in prop_oneof![Just(":external:"), Just(":polar:"), Just(":")],
            by_id in any::<bool>(),
        ) {
            let mut pairs = BTreeSet::new();
            for cut in 1..pieces.len() {
                let (key, customer) = pieces.split_at(cut);
                let (key, customer) = (key.join(joint), customer.join(joint));
                pairs.insert((key.replace(':', "%3A"), customer.clone()));
                pairs.insert((key.replace("%3A", ":"), customer.clone()));
                pairs.insert((key, customer));
            }
            let meant = |customer: &str| if by_id { CustomerKey::Id(customer.to_owned()) } else { external(customer) };
            let ids: BTreeSet<String> = pairs.iter().map(|(key, customer)| once_id(key, &meant(customer))).collect();
            prop_assert_eq!(ids.len(), pairs.len());
        }
    }
}
