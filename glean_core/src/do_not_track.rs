//! `DO_NOT_TRACK`: the wish of the user, which freezes what is there and collects nothing.

/// Name of the environment variable; children inherit it.
pub const VARIABLE: &str = "DO_NOT_TRACK";

/// Tells whether the environment asks for it.
pub fn is_asked_for() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| is_yes(&value.to_string_lossy()))
}

/// Anything is a yes, except what says no.
fn is_yes(value: &str) -> bool {
    let value = value.trim().to_ascii_lowercase();
    !["", "0", "false", "no", "off"].contains(&value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_no_is_a_no() {
        for no in ["", " ", "0", "false", "FALSE", "no", "No", "off", " off "] {
            assert!(!is_yes(no), "{no:?}");
        }
        for yes in ["1", "true", "yes", "on", "00", "2", "please", "\u{fffd}"] {
            assert!(is_yes(yes), "{yes:?}");
        }
    }
}
