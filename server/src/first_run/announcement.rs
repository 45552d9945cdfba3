//! What the first start tells people: what it made, and commands to paste.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use super::{FIRST_PRESET, FirstRun};

/// The text for the terminal. It shows the secrets: print it once, never log it.
#[must_use]
pub fn announcement(first: &FirstRun, file: &Path) -> String {
    let mut text = String::new();
    facts(&mut text, first, file)
        .and_then(|()| commands(&mut text, first))
        .expect("invariant: a String takes all text");
    text
}

fn facts(text: &mut String, first: &FirstRun, file: &Path) -> std::fmt::Result {
    let FirstRun {
        org_id,
        username,
        password,
        secret_key,
        ca_file,
        endpoints,
    } = first;
    writeln!(text, "This is the first start. It made what you need to begin:\n")?;
    writeln!(text, "  organization   {org_id}")?;
    writeln!(text, "  user name      {username}")?;
    writeln!(text, "  password       {}", password.expose())?;
    writeln!(text, "  secret key     {}", secret_key.expose())?;
    writeln!(text, "  CA to trust    {}", ca_file.display())?;
    let named = [
        ("MQTT, TLS", &endpoints.mqtts),
        ("MQTT, WSS", &endpoints.wss),
        ("HTTPS API", &endpoints.https),
        ("MQTT, plain", &endpoints.mqtt),
        ("MQTT, WS", &endpoints.ws),
        ("HTTP API", &endpoints.http),
    ];
    for (name, url) in named {
        if let Some(url) = url {
            writeln!(text, "  {name:<14} {url}")?;
        }
    }
    writeln!(
        text,
        "\nIts policy is \"{}\": {}.",
        FIRST_PRESET.name(),
        FIRST_PRESET.meaning()
    )?;
    writeln!(
        text,
        "All this is shown once and kept in {}; delete that file when you have noted it.",
        file.display()
    )
}

fn commands(text: &mut String, first: &FirstRun) -> std::fmt::Result {
    let FirstRun {
        org_id,
        username,
        password,
        secret_key,
        ca_file,
        endpoints,
    } = first;
    let (ca, user, password) = (
        quoted(&ca_file.display().to_string()),
        quoted(username),
        quoted(password.expose()),
    );
    if let Some((host, port)) = endpoints.mqtts.as_deref().and_then(host_and_port) {
        let common = format!("-h {host} -p {port} --cafile {ca} -u {user} -P {password}");
        writeln!(text, "\nSubscribe in one terminal and publish in another:\n")?;
        writeln!(text, "  mosquitto_sub {common} -t 'hello/#' -v")?;
        writeln!(text, "  mosquitto_pub {common} -t hello/world -q 1 -m 'it works'")?;
    }
    let api = endpoints.https.as_ref().map(|url| format!("--cacert {ca} {url}"));
    if let Some(api) = api.or_else(|| endpoints.http.clone()) {
        let body = json!({
            "organization_id": org_id,
            "secret_key": secret_key.expose(),
            "user_email": "ada@example.com",
        });
        writeln!(
            text,
            "\nGet a user name and a password that end after an hour, for a browser or a device:\n"
        )?;
        writeln!(
            text,
            "  curl {api}/v2/tokens/create -H 'content-type: application/json' -d {}",
            quoted(&body.to_string())
        )?;
    }
    if let Some(url) = &endpoints.wss {
        let script = format!(
            "require(\"mqtt\").connect(\"{url}\", {}).on(\"connect\", () => console.log(\"connected\"))",
            json!({ "username": username, "password": first.password.expose() }),
        );
        writeln!(text, "\nConnect with MQTT.js (npm install mqtt):\n")?;
        writeln!(text, "  NODE_EXTRA_CA_CERTS={ca} node -e {}", quoted(&script))?;
    }
    Ok(())
}

/// Host and port of `scheme://host:port/…`.
fn host_and_port(url: &str) -> Option<(&str, &str)> {
    let (_, rest) = url.split_once("://")?;
    let (host, port) = rest.split('/').next()?.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port))
}

/// As one word for a shell.
fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "@%+=:,./-_".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Secret;
    use crate::first_run::Endpoints;

    fn first(endpoints: Endpoints) -> FirstRun {
        FirstRun {
            org_id: "org_k7xm4pqr2n5t".into(),
            username: "demo@org_k7xm4pqr2n5t".into(),
            password: Secret::new("p4ss".into()),
            secret_key: Secret::new("sk_1".into()),
            ca_file: "/data/it's here/ca.pem".into(),
            endpoints,
        }
    }

    #[test]
    fn everything_is_said_with_lines_to_paste() {
        let endpoints = Endpoints {
            mqtts: Some("mqtts://localhost:8883".into()),
            wss: Some("wss://localhost:18885/".into()),
            https: Some("https://localhost:8443".into()),
            ..Endpoints::default()
        };
        let text = announcement(&first(endpoints), Path::new("/data/first-run.json"));
        for part in [
            "permit-all",
            "/data/first-run.json",
            r"mosquitto_sub -h localhost -p 8883 --cafile '/data/it'\''s here/ca.pem' -u demo@org_k7xm4pqr2n5t -P p4ss -t 'hello/#' -v",
            "mosquitto_pub -h localhost -p 8883",
            r#"https://localhost:8443/v2/tokens/create -H 'content-type: application/json' -d '{"organization_id":"org_k7xm4pqr2n5t""#,
            r#"node -e 'require("mqtt").connect("wss://localhost:18885/", {"username":"demo@org_k7xm4pqr2n5t","password":"p4ss"})"#,
        ] {
            assert!(text.contains(part), "{part}\nis missing in\n{text}");
        }
    }

    #[test]
    fn listeners_that_are_off_are_not_advertised() {
        let endpoints = Endpoints {
            http: Some("http://localhost:18080".into()),
            ..Endpoints::default()
        };
        let text = announcement(&first(endpoints), Path::new("f"));
        assert!(!text.contains("mosquitto") && !text.contains("node") && !text.contains("cacert"));
        assert!(text.contains("curl http://localhost:18080/v2/tokens/create"));
    }

    #[test]
    fn hosts_and_ports_are_found() {
        assert_eq!(
            host_and_port("mqtts://localhost:8883"),
            Some(("localhost", "8883"))
        );
        assert_eq!(
            host_and_port("wss://[2001:db8::1]:18885/"),
            Some(("2001:db8::1", "18885"))
        );
        assert_eq!(host_and_port("nonsense"), None);
    }
}
