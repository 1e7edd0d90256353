//! Rules for texts: lengths, URLs, identifiers, tags. All lengths are bytes of UTF-8.

/// The longest debug view tag or source tag.
const MAX_TAG_BYTES: usize = 20;
/// The most source tags at once.
const MAX_SOURCE_TAGS: usize = 5;
/// What source tags may not begin with; the servers use such tags themselves.
const RESERVED_TAG_PREFIX: &str = "glean";

/// Cuts `text` to at most `limit_bytes` at the boundary of a code point; also tells whether anything was cut.
pub fn truncate(text: &str, limit_bytes: usize) -> (&str, bool) {
    if text.len() <= limit_bytes {
        return (text, false);
    }
    let mut end = limit_bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (&text[..end], true)
}

/// Does the same to a text in place; tells whether it was too long.
pub fn cut(text: &mut String, limit_bytes: usize) -> bool {
    let (kept, was_cut) = truncate(text, limit_bytes);
    let length = kept.len();
    text.truncate(length);
    was_cut
}

/// Tells whether `url` begins with a scheme and a colon, and isn't a `data:` URL. Nothing else is looked at.
///
/// Glean takes `DATA:` for another scheme than `data:`, and so does this.
pub fn is_url_acceptable(url: &str) -> bool {
    match url.split_once(':') {
        Some(("data", _)) | None => false,
        Some((scheme, _)) => is_url_scheme(scheme.as_bytes()),
    }
}

/// Tells whether `scheme` is a letter followed by letters, digits, `+`, `-` and `.` (RFC 3986, section 3.1).
fn is_url_scheme(scheme: &[u8]) -> bool {
    let is_scheme_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(is_scheme_byte)
}

/// Returns the application id as it stands in the path of a ping.
///
/// Every run of characters other than ASCII letters and digits becomes one `-`; letters become lower case.
pub fn sanitize_application_id(application_id: &str) -> String {
    let mut sanitized = String::with_capacity(application_id.len());
    let mut is_in_run = false;
    for character in application_id.chars() {
        if character.is_ascii_alphanumeric() {
            sanitized.push(character.to_ascii_lowercase());
        } else if !is_in_run {
            sanitized.push('-');
        }
        is_in_run = !character.is_ascii_alphanumeric();
    }
    sanitized
}

/// Tells whether `tag` is 1 to 20 of `A`–`Z`, `a`–`z`, `0`–`9` and `-`, as a debug view tag has to be.
pub fn is_debug_view_tag(tag: &str) -> bool {
    let is_tag_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_TAG_BYTES).contains(&tag.len()) && tag.bytes().all(is_tag_byte)
}

/// Tells whether `tags` are 1 to 5 source tags: formed like debug view tags, and none beginning with `glean`.
pub fn are_source_tags(tags: &[String]) -> bool {
    let is_source_tag = |tag: &String| is_debug_view_tag(tag) && !tag.starts_with(RESERVED_TAG_PREFIX);
    (1..=MAX_SOURCE_TAGS).contains(&tags.len()) && tags.iter().all(is_source_tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_code_points() {
        assert_eq!(truncate("abc", 3), ("abc", false));
        assert_eq!(truncate("abcd", 3), ("abc", true));
        assert_eq!(truncate("aéb", 2), ("a", true));
        assert_eq!(truncate("aéb", 3), ("aé", true));
        assert_eq!(truncate("😀", 3), ("", true));
        assert_eq!(truncate("😀", 0), ("", true));
        assert_eq!(truncate("", 0), ("", false));
        assert_eq!(truncate("a\0b", 2), ("a\0", true));
    }

    #[test]
    fn urls_need_a_scheme_and_a_colon() {
        for url in ["http:", "h:/", "a+b-c.d:x", "DATA:x", "dat:", "datax:y", "x1://ü?%zz", "a::"] {
            assert!(is_url_acceptable(url), "{url}");
        }
        for url in ["", ":x", "1a:x", "http//x:y", "é:x", "a b:x", " http:x", "+a:x", "-a:x", ".:", "a\0:x"] {
            assert!(!is_url_acceptable(url), "{url}");
        }
    }

    #[test]
    fn data_urls_and_schemes_without_a_colon_are_no_urls() {
        for url in ["data:", "data:x", "data", "a", "http"] {
            assert!(!is_url_acceptable(url), "{url}");
        }
    }

    #[test]
    fn application_ids_keep_letters_and_digits() {
        let cases = [
            ("org.Mozilla Foo", "org-mozilla-foo"),
            ("  Ü_a.b--C!", "-a-b-c-"),
            ("-x-", "-x-"),
            ("…", "-"),
            ("", ""),
            ("aB9", "ab9"),
            ("a\0\u{130}b", "a-b"),
        ];
        for (id, sanitized) in cases {
            assert_eq!(sanitize_application_id(id), sanitized);
        }
    }

    #[test]
    fn tags_have_up_to_twenty_characters() {
        for tag in ["a", "-", "A-z0", "12345678901234567890", "glean-x"] {
            assert!(is_debug_view_tag(tag), "{tag}");
        }
        for tag in ["", "123456789012345678901", "a b", "a_b", "ä", "a\n"] {
            assert!(!is_debug_view_tag(tag), "{tag}");
        }
    }

    #[test]
    fn one_bad_source_tag_spoils_the_list() {
        let are_good = |tags: &[&str]| are_source_tags(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert!(are_good(&["a"]));
        assert!(are_good(&["a", "b", "c", "d", "e"]));
        assert!(are_good(&["Glean", "my-glean", "12345678901234567890"]));
        assert!(!are_good(&[]));
        assert!(!are_good(&["a", "b", "c", "d", "e", "f"]));
        assert!(!are_good(&["a", "glean-x"]));
        assert!(!are_good(&["a", ""]));
        assert!(!are_good(&["a", "b c"]));
    }
}
