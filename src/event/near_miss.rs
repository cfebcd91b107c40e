//! Keys that look like a mistyped field: Polar ignores what it does not know, so a typo shows only as a field missing.

/// Keys other systems use for what Polar calls otherwise, reduced as [`reduced`] does, with Polar's name.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("event", "name"),
    ("eventname", "name"),
    ("eventtype", "name"),
    ("type", "name"),
    ("slug", "name"),
    ("meter", "name"),
    ("customer", "external_customer_id"),
    ("userid", "external_customer_id"),
    ("user", "external_customer_id"),
    ("customerexternalid", "external_customer_id"),
    ("externalcustomer", "external_customer_id"),
    ("externaluserid", "external_customer_id"),
    ("eventname", "event"),
    ("name", "event"),
    ("meter", "event"),
    ("key", "property"),
    ("field", "property"),
    ("credit", "credits"),
    ("amount", "credits"),
    ("units", "credits"),
    ("value", "credits"),
    ("quantity", "credits"),
];

/// The field of `fields` that `key` was probably meant to be.
pub(super) fn meant(key: &str, fields: &[&'static str]) -> Option<&'static str> {
    if key.len() > 40 {
        return None;
    }
    let key = reduced(key);
    let same = fields.iter().copied().find(|field| reduced(field) == key);
    let other = || {
        OTHER_NAMES
            .iter()
            .find(|(name, field)| *name == key && fields.contains(field))
            .map(|&(_, field)| field)
    };
    // Short names are a letter or two from anything.
    let near = || {
        let close =
            |field: &&'static str| key.len() >= 4 && distance(&key, &reduced(field)) <= 1 + field.len() / 9;
        fields.iter().copied().find(close)
    };
    same.or_else(other).or_else(near)
}

/// Small letters and digits only, so that `customerId`, `Customer-ID` and `customer_id` are one.
fn reduced(key: &str) -> String {
    key.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase()).collect()
}

/// How many letters must be added, removed or changed to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row, vec![index + 1]);
        let mut above = diagonal.drain(..);
        let mut corner = above.next().unwrap_or(0);
        for (other, up) in to.bytes().zip(above) {
            let left = row.last().copied().unwrap_or(0);
            let best = (corner + usize::from(letter != other)).min(up + 1).min(left + 1);
            row.push(best);
            corner = up;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camel_case_typos_and_other_systems_names_are_recognised() {
        let customer = &["external_customer_id", "customer_id"];
        assert_eq!(meant("customerId", customer), Some("customer_id"));
        assert_eq!(meant("externalCustomerId", customer), Some("external_customer_id"));
        assert_eq!(meant("custmer_id", customer), Some("customer_id"));
        assert_eq!(meant("external_costumer_id", customer), Some("external_customer_id"));
        assert_eq!(meant("user_id", customer), Some("external_customer_id"));
        assert_eq!(meant("metadata", customer), None);
        assert_eq!(meant("event_name", &["name"]), Some("name"));
        assert_eq!(meant("nmae", &["name"]), None);
        assert_eq!(meant("names", &["name"]), Some("name"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
