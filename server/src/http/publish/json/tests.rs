use axum::http::StatusCode;

use super::*;

fn read(text: &str) -> Result<OwnedMessage, ApiError> {
    message(&Bytes::copy_from_slice(text.as_bytes()), Qos::AtLeastOnce)
}

fn refused(text: &str) -> (StatusCode, String) {
    let (status, body) = read(text).unwrap_err().into_parts();
    (status, body["detail"].as_str().unwrap().into())
}

#[test]
fn payloads_of_every_kind() {
    let payload = |value: &str| {
        let text = format!(r#"{{"topic":"x","payload":{value}}}"#);
        read(&text).unwrap().payload
    };
    assert_eq!(payload(r#""plain \"text\" \u00e9""#), "plain \"text\" é");
    assert_eq!(
        payload(r#"{ "b":1,  "a" : [1.50, 1e3] }"#),
        r#"{ "b":1,  "a" : [1.50, 1e3] }"#,
        "not a byte is changed"
    );
    assert_eq!(payload("[1,2]"), "[1,2]");
    assert_eq!(payload("12.50"), "12.50");
    assert_eq!(payload("true"), "true");
    assert_eq!(payload("null"), "");
    assert_eq!(payload(r#""""#), "");
    let bytes = |text: &str| read(text).unwrap().payload;
    assert_eq!(
        bytes(r#"{"topic":"x","payload_base64":"AP8H"}"#),
        &[0, 255, 7][..]
    );
    assert_eq!(
        bytes(r#"{"topic":"x","payload":"_-8","encoding":"base64"}"#),
        &[255, 239][..]
    );
}

#[test]
fn everything_else() {
    let read = read(
        r#"{"topic":"a/b","payload":"","qos":2,"retain":true,"unknown":1,"properties":{
        "payload_format_indicator":1,"message_expiry_interval":60,"content_type":"text/plain",
        "response_topic":"r","correlation_data_base64":"AAE=",
        "user_properties":{"b":"1","a":["2","3"],"":""}}}"#,
    )
    .unwrap();
    let submission = read.submission();
    assert_eq!((submission.qos, submission.retain), (Qos::ExactlyOnce, true));
    let properties = submission.properties;
    assert_eq!(properties.payload_format, Some(true));
    assert_eq!(properties.message_expiry_secs, Some(60));
    assert_eq!(properties.content_type, Some("text/plain"));
    assert_eq!(properties.response_topic.unwrap().as_str(), "r");
    assert_eq!(properties.correlation_data, Some(&[0, 1][..]));
    let user: Vec<_> = properties.user_properties.iter().collect();
    assert_eq!(user, [("b", "1"), ("a", "2"), ("a", "3"), ("", "")]);
}

#[test]
fn user_properties_as_pairs_keep_their_order() {
    let read =
        read(r#"{"topic":"x","payload":1,"properties":{"user_properties":[["b","1"],["a","2"],["b","3"]]}}"#);
    let read = read.unwrap();
    let user: Vec<_> = read.submission().properties.user_properties.iter().collect();
    assert_eq!(user, [("b", "1"), ("a", "2"), ("b", "3")]);
}

#[test]
fn what_cannot_be_is_refused_and_says_why() {
    for (text, why) in [
        (r#"{"payload":1}"#, "topic"),
        (r#"{"topic":"x"}"#, "payload is missing"),
        (r#"{"topic":"","payload":1}"#, "topic"),
        (r#"{"topic":"a/#","payload":1}"#, "topic"),
        (r#"{"topic":"a/\u0000","payload":1}"#, "topic"),
        (r#"{"topic":"x","payload":1,"qos":3}"#, "qos"),
        (r#"{"topic":"x","payload":1,"qos":-1}"#, "invalid value"),
        (r#"{"topic":"x","payload":"?","encoding":"base64"}"#, "payload"),
        (r#"{"topic":"x","payload":1,"encoding":"base64"}"#, "string"),
        (r#"{"topic":"x","payload":1,"encoding":"rot13"}"#, "rot13"),
        (r#"{"topic":"x","payload_base64":"*"}"#, "payload_base64"),
        (r#"{"topic":"x","payload":1,"payload_base64":""}"#, "not both"),
        (
            r#"{"topic":"x","payload":1,"properties":{"response_topic":"+"}}"#,
            "response_topic",
        ),
        (
            r#"{"topic":"x","payload":1,"properties":{"payload_format_indicator":2}}"#,
            "0 or 1",
        ),
        (
            r#"{"topic":"x","payload":1,"properties":{"user_properties":{"a":1}}}"#,
            "",
        ),
        (
            r#"{"topic":"x","payload":1,"properties":{"content_type":"\u0000"}}"#,
            "content_type",
        ),
        (
            r#"{"topic":"x","payload_base64":"/w==","properties":{"payload_format_indicator":1}}"#,
            "UTF-8",
        ),
        ("[]", ""),
        ("1", ""),
    ] {
        let (status, said) = refused(text);
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert!(said.contains(why), "{text}: {said}");
    }
    assert_eq!(refused("{").0, StatusCode::BAD_REQUEST);
    assert_eq!(refused("").0, StatusCode::BAD_REQUEST);
}

#[test]
fn a_batch_is_bounded_and_its_messages_are_good_or_not() {
    let read = |text: String| batch(&Bytes::from(text));
    let some = read(r#"{"messages":[{"topic":"x","payload":1},{"topic":"+","payload":1},7]}"#.into());
    let good: Vec<_> = some.unwrap().iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, false]);
    assert!(read(r#"{"messages":[]}"#.into()).is_err());
    let many = |count| format!(r#"{{"messages":[{}1]}}"#, "1,".repeat(count - 1));
    assert!(read(many(BATCH_MESSAGES_MAX)).is_ok());
    assert!(read(many(BATCH_MESSAGES_MAX + 1)).is_err());
}
