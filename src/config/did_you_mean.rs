//! What a misspelt name was probably meant to be.

/// The known name that is nearest to `wrong`, if any is near enough to be meant. Names are compared as words: case and
/// separators don't count, and neither does the order of its words.
pub(super) fn did_you_mean<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let letters = words(wrong).concat();
    // A third of the letters may be wrong, but something must be left to recognise.
    let most = (letters.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|name| (distance(&words(wrong), &words(name)), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

fn words(name: &str) -> Vec<String> {
    let words = name.split(|char: char| !char.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
}

fn distance(wrong: &[String], known: &[String]) -> usize {
    let sorted = |words: &[String]| {
        let mut words = words.to_vec();
        words.sort_unstable();
        words
    };
    if sorted(wrong) == sorted(known) {
        return 0;
    }
    strsim::damerau_levenshtein(&wrong.concat(), &known.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["data_dir", "polar_url", "intake.frame_bytes_max", "intake.body_bytes_max"];

    #[test]
    fn slips_are_recognised() {
        for (wrong, meant) in [
            ("datadir", "data_dir"),
            ("Data-Dir", "data_dir"),
            ("polar.url", "polar_url"),
            ("url_polar", "polar_url"),
            ("intake.frame_byte_max", "intake.frame_bytes_max"),
            ("intake.fraem_bytes_max", "intake.frame_bytes_max"),
        ] {
            assert_eq!(did_you_mean(wrong, KNOWN), Some(meant), "{wrong}");
        }
    }

    #[test]
    fn what_is_like_nothing_is_left_alone() {
        for wrong in ["", "x", "colour", "frame", "data"] {
            assert_eq!(did_you_mean(wrong, KNOWN), None, "{wrong}");
        }
    }
}
