//! File, environment, flags: later layers win, and every complaint says which layer spoke.

use std::ffi::OsString;
use std::path::Path;

use crate::cli::serve::ServeArgs;
use crate::config::Config;
use crate::config::contradictions::contradictions;
use crate::config::error::{ConfigError, ConfigErrors, Origin};
use crate::config::keys::{self, Key};
use crate::config::value::{Kind, Raw};

/// Bytes of a configuration file.
const FILE_BYTES_MAX: u64 = 1_048_576;
/// What every variable of ours begins with.
const VARIABLE_PREFIX: &str = "CLOUDSIGNAL_";
/// What one layer says about one key.
struct Setting {
    key: &'static Key,
    raw: Raw,
    origin: Origin,
}

/// Collects settings in rising order.
#[derive(Default)]
struct Layers {
    settings: Vec<Setting>,
    errors: Vec<ConfigError>,
}

pub(super) fn load(
    args: &ServeArgs,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Config, ConfigErrors> {
    let mut layers = Layers::default();
    if let Some(path) = &args.config {
        layers.read_file(path);
    }
    layers.read_variables(variables);
    layers.read_flags(args);
    layers.finish()
}

impl Layers {
    fn say(&mut self, name: &str, raw: Raw, origin: Origin) {
        match keys::find(name) {
            Some(key) => self.settings.push(Setting { key, raw, origin }),
            None => self.errors.push(ConfigError::UnknownKey {
                key: name.to_owned(),
                origin,
                hint: hint(name),
            }),
        }
    }

    fn read_file(&mut self, path: &Path) {
        let table = match read_table(path) {
            Ok(table) => table,
            Err(problem) => {
                let path = path.to_owned();
                self.errors.push(ConfigError::File { path, problem });
                return;
            }
        };
        for (name, value) in table {
            let toml::Value::Table(section) = value else {
                self.say(&name, raw_of(value), Origin::File(path.to_owned()));
                continue;
            };
            for (short_name, value) in section {
                let name = format!("{name}.{short_name}");
                self.say(&name, raw_of(value), Origin::File(path.to_owned()));
            }
        }
    }

    fn read_variables(&mut self, variables: impl Iterator<Item = (OsString, OsString)>) {
        // What another command reads, such as CLOUDSIGNAL_PROFILE, is nobody's mistake.
        let of_commands = crate::cli::variables();
        for (variable, value) in variables {
            let Some(variable) = variable.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else {
                continue;
            };
            let origin = Origin::Variable(variable.to_owned());
            let raw = value
                .into_string()
                .map_or_else(|odd| Raw::Other(format!("{odd:?}")), Raw::Text);
            match keys::all().find(|key| key.variable() == variable) {
                Some(key) => self.settings.push(Setting { key, raw, origin }),
                None if of_commands.contains(variable) => {}
                None => self.say(variable, raw, origin),
            }
        }
    }

    fn read_flags(&mut self, args: &ServeArgs) {
        let listeners = [
            ("listen.mqtt", "--listen-mqtt", args.listen_mqtt),
            ("listen.mqtts", "--listen-mqtts", args.listen_mqtts),
            ("listen.ws", "--listen-ws", args.listen_ws),
            ("listen.wss", "--listen-wss", args.listen_wss),
            ("listen.http", "--listen-http", args.listen_http),
            ("listen.https", "--listen-https", args.listen_https),
            ("listen.metrics", "--listen-metrics", args.listen_metrics),
        ];
        for (name, flag, listen) in listeners {
            if let Some(listen) = listen {
                self.say(name, Raw::Text(listen.to_string()), Origin::Flag(flag));
            }
        }
        if let Some(dir) = &args.data_dir {
            let text = dir.to_string_lossy().into_owned();
            self.say("data_dir", Raw::Text(text), Origin::Flag("--data-dir"));
        }
        if let Some(org) = &args.dev_anonymous {
            self.say(
                "dev_anonymous",
                Raw::Text(org.clone()),
                Origin::Flag("--dev-anonymous"),
            );
        }
    }

    fn finish(mut self) -> Result<Config, ConfigErrors> {
        let mut config = Config::default();
        for setting in &self.settings {
            match setting.key.kind.check(&setting.raw) {
                Ok(value) => (setting.key.write)(&mut config, value),
                Err(problem) => self.errors.push(setting.refuse(problem)),
            }
        }
        if self.errors.is_empty() {
            for (name, problem) in contradictions(&config) {
                self.errors.push(self.refuse_together(&config, name, problem));
            }
        }
        if self.errors.is_empty() {
            Ok(config)
        } else {
            Err(ConfigErrors(self.errors))
        }
    }

    /// A value that is acceptable alone, but not beside the others.
    fn refuse_together(&self, config: &Config, name: &str, problem: &str) -> ConfigError {
        let key = keys::find(name).expect("invariant: contradictions name keys");
        match self.settings.iter().rfind(|setting| setting.key.name == name) {
            Some(setting) => setting.refuse(problem.to_owned()),
            None => ConfigError::BadValue {
                key: key.name,
                value: (key.read)(config).to_string(),
                problem: problem.to_owned(),
                origin: Origin::Default,
            },
        }
    }
}

impl Setting {
    fn refuse(&self, problem: String) -> ConfigError {
        ConfigError::BadValue {
            key: self.key.name,
            value: self.raw.to_string(),
            problem,
            origin: self.origin.clone(),
        }
    }
}

fn read_table(path: &Path) -> Result<toml::Table, String> {
    let bytes = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("has {bytes} bytes, more than {FILE_BYTES_MAX}"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    text.parse::<toml::Table>().map_err(|error| error.to_string())
}

fn raw_of(value: toml::Value) -> Raw {
    match value {
        toml::Value::Integer(number) => Raw::Integer(number),
        toml::Value::String(text) => Raw::Text(text),
        toml::Value::Array(items) => {
            let texts: Option<Vec<_>> = items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect();
            texts.map_or_else(|| Raw::Other(toml::Value::Array(items).to_string()), Raw::List)
        }
        other @ (toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_)) => Raw::Other(other.to_string()),
    }
}

/// Keys whose short name, or whose section, is the unknown one's.
fn hint(name: &str) -> String {
    let variable = name.starts_with(VARIABLE_PREFIX);
    let bare = name
        .strip_prefix(VARIABLE_PREFIX)
        .unwrap_or(name)
        .to_ascii_lowercase();
    let short = bare.rsplit('.').next().unwrap_or(&bare);
    let near: Vec<String> = keys::all()
        .filter(|key| bare.ends_with(key.short_name()) || key.short_name().contains(short))
        .take(3)
        .map(|key| {
            if variable {
                key.variable()
            } else {
                key.name.to_owned()
            }
        })
        .collect();
    if near.is_empty() {
        String::new()
    } else {
        format!("; near it: {}", near.join(", "))
    }
}

/// The bounds of a kind, for documentation.
pub(super) fn bounds(kind: Kind) -> String {
    kind.to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::serve::Listen;

    fn load_with(file: &str, variables: &[(&str, &str)], args: ServeArgs) -> Result<Config, ConfigErrors> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloudsignal.toml");
        std::fs::write(&path, file).unwrap();
        let args = ServeArgs {
            config: Some(path),
            ..args
        };
        load(
            &args,
            variables
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        )
    }

    fn refused(file: &str, variables: &[(&str, &str)], args: ServeArgs) -> String {
        let dir = std::env::temp_dir();
        let text = load_with(file, variables, args)
            .expect_err("must be refused")
            .to_string();
        assert!(!text.contains("toml::"), "{text}");
        text.replace(&*dir.to_string_lossy(), "")
    }

    #[test]
    fn without_any_layer_the_defaults_hold() {
        let args = ServeArgs::default();
        assert_eq!(load(&args, std::iter::empty()), Ok(Config::default()));
        assert_eq!(load_with("", &[], args), Ok(Config::default()));
    }

    #[test]
    fn variables_of_other_commands_are_passed_over() {
        let variables = [
            ("CLOUDSIGNAL_PROFILE", "work"),
            ("CLOUDSIGNAL_ORG", "org_k7xm4pqr2n5t"),
            ("CLOUDSIGNAL_PASSWORD", "correct horse"),
        ];
        assert_eq!(
            load_with("", &variables, ServeArgs::default()),
            Ok(Config::default())
        );
        let refused = refused("", &[("CLOUDSIGNAL_PROFILED", "work")], ServeArgs::default());
        assert!(refused.contains("CLOUDSIGNAL_PROFILED"), "{refused}");
    }

    #[test]
    fn flags_win_over_the_environment_which_wins_over_the_file() {
        let file =
            "data_dir = \"file\"\n[listen]\nmqtt = \"127.0.0.1:1\"\nws = \"127.0.0.1:2\"\nwss = \"off\"\n";
        let variables = [
            ("CLOUDSIGNAL_LISTEN_MQTT", "127.0.0.1:3"),
            ("CLOUDSIGNAL_LISTEN_WS", "127.0.0.1:4"),
        ];
        let args = ServeArgs {
            listen_mqtt: Some("127.0.0.1:5".parse().unwrap()),
            ..ServeArgs::default()
        };
        let config = load_with(file, &variables, args).unwrap();
        assert_eq!(config.listen.mqtt, "127.0.0.1:5".parse().unwrap());
        assert_eq!(config.listen.ws, "127.0.0.1:4".parse().unwrap());
        assert_eq!(config.listen.wss, Listen::Off);
        assert_eq!(config.data_dir, PathBuf::from("file"));
    }

    #[test]
    fn every_shape_of_value_is_read_from_every_layer() {
        let file =
            "[proxy]\nlisteners = [\"mqtt\"]\ntrusted = [\"10.0.0.0/8\"]\n[limits]\nreceive_max = 20\n";
        let variables = [
            (
                "CLOUDSIGNAL_WEBSOCKET_ORIGINS",
                "https://a.example, https://b.example",
            ),
            ("CLOUDSIGNAL_CONNECTIONS_STALLED_SECS", "7"),
            ("HOME", "/nowhere"),
        ];
        let config = load_with(file, &variables, ServeArgs::default()).unwrap();
        assert_eq!(config.proxy.trusted, vec!["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(config.limits.receive_max, 20);
        assert_eq!(config.websocket.origins.len(), 2);
        assert_eq!(config.connections.stalled_secs, 7);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_with_its_origin() {
        let text = refused("[listen]\nmqqt = \"off\"\n", &[], ServeArgs::default());
        assert!(
            text.contains("listen.mqqt: there is no such key (file "),
            "{text}"
        );
        let text = refused("", &[("CLOUDSIGNAL_LISTEN_MQQT", "off")], ServeArgs::default());
        assert!(
            text.contains("CLOUDSIGNAL_LISTEN_MQQT: there is no such key (environment variable"),
            "{text}"
        );
        let text = refused("receive_max = 4", &[], ServeArgs::default());
        assert!(text.contains("near it: limits.receive_max"), "{text}");
    }

    #[test]
    fn a_value_out_of_bounds_is_refused_with_key_value_bound_and_origin() {
        let text = refused("[limits]\nreceive_max = 0\n", &[], ServeArgs::default());
        assert!(
            text.contains("limits.receive_max = 0: must be a whole number from 1 to 65535 (file "),
            "{text}"
        );
        let text = refused("", &[("CLOUDSIGNAL_LISTEN_WSS", "here")], ServeArgs::default());
        assert!(
            text.contains("listen.wss = \"here\": write it as 127.0.0.1:1883"),
            "{text}"
        );
        assert!(
            text.contains("(environment variable CLOUDSIGNAL_LISTEN_WSS)"),
            "{text}"
        );
        let text = refused(
            "[log]\nformat = \"xml\"\nlevel = 3.5\n",
            &[],
            ServeArgs::default(),
        );
        assert!(
            text.contains("log.format = \"xml\": must be one of text, json"),
            "{text}"
        );
        assert!(
            text.contains("log.level = 3.5: must be a text"),
            "every fault is told at once: {text}"
        );
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        let anywhere = ServeArgs {
            listen_mqtt: Some("0.0.0.0:1883".parse().unwrap()),
            dev_anonymous: Some("org_test".into()),
            ..ServeArgs::default()
        };
        let text = refused("", &[], anywhere.clone());
        assert!(
            text.contains("dev_anonymous = \"org_test\": lets everybody in"),
            "{text}"
        );
        assert!(text.contains("(flag --dev-anonymous)"), "{text}");
        let loopback = ServeArgs {
            listen_mqtt: Some("[::1]:0".parse().unwrap()),
            ..anywhere
        };
        assert!(load_with("", &[], loopback).is_ok());

        let cases = [
            (
                "[proxy]\nlisteners = [\"mqtt\"]\n",
                "proxy.listeners = [\"mqtt\"]: needs proxy.trusted",
            ),
            (
                "[tls]\ncert_file = \"a.pem\"\n",
                "tls.cert_file = \"a.pem\": needs tls.key_file",
            ),
            (
                "[tls]\nclient_cert = \"require\"\n",
                "tls.client_cert = \"require\": needs tls.client_ca_file",
            ),
            (
                "[log]\nlevel = \"loud,x=\"\n",
                "log.level = \"loud,x=\": is neither a level",
            ),
        ];
        for (file, wanted) in cases {
            let text = refused(file, &[], ServeArgs::default());
            assert!(text.contains(wanted), "{file}: {text}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_no_toml_is_named() {
        let missing = ServeArgs {
            config: Some("/nowhere/x.toml".into()),
            ..ServeArgs::default()
        };
        let text = load(&missing, std::iter::empty()).unwrap_err().to_string();
        assert!(
            text.contains("configuration file /nowhere/x.toml: No such file"),
            "{text}"
        );
        let text = refused("listen = [", &[], ServeArgs::default());
        assert!(text.contains("cloudsignal.toml: "), "{text}");
    }
}
