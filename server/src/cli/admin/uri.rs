//! Paths and queries of requests, with names and values in them.

/// A path with a name at its end.
pub(super) fn named(path: &str, name: &str) -> String {
    format!("{path}/{}", escape(name))
}

/// A path with a query: the parameters that have a value.
pub(super) fn asking(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut uri = path.to_owned();
    let mut mark = '?';
    for (name, value) in parameters {
        if let Some(value) = value {
            uri.push(mark);
            uri += &format!("{name}={}", escape(value));
            mark = '&';
        }
    }
    uri
}

/// Everything but letters, digits and a few marks as `%XX`.
fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        if is_plain {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    escaped.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_travel_whole() {
        assert_eq!(
            named("/v2/members", "ada@example.com"),
            "/v2/members/ada%40example.com"
        );
        let parameters = [("a", Some("a b&c=ä/")), ("b", None), ("c", Some(""))];
        assert_eq!(asking("/x", &parameters), "/x?a=a%20b%26c%3D%C3%A4%2F&c=");
        assert_eq!(asking("/x", &[("b", None)]), "/x");
    }
}
