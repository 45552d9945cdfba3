//! Values that are acceptable alone, but not together.

use crate::cli::serve::Listen;
use crate::config::{ClientCert, Config};

/// What no single key can see: the key to blame and what is wrong.
pub(super) fn contradictions(config: &Config) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    let mut refuse_if = |wrong: bool, key, problem| {
        if wrong {
            found.push((key, problem));
        }
    };
    let mqtt_is_loopback = match config.listen.mqtt {
        Listen::Off => true,
        Listen::At(addr) => addr.ip().is_loopback(),
    };
    refuse_if(
        config.dev_anonymous.is_some() && !mqtt_is_loopback,
        "dev_anonymous",
        "lets everybody in, so listen.mqtt must be on loopback, such as 127.0.0.1:1883",
    );
    refuse_if(
        !config.proxy.listeners.is_empty() && config.proxy.trusted.is_empty(),
        "proxy.listeners",
        "needs proxy.trusted: who may say where a connection comes from",
    );
    refuse_if(
        config.tls.cert_file.is_some() && config.tls.key_file.is_none(),
        "tls.cert_file",
        "needs tls.key_file",
    );
    refuse_if(
        config.tls.key_file.is_some() && config.tls.cert_file.is_none(),
        "tls.key_file",
        "needs tls.cert_file",
    );
    refuse_if(
        config.tls.client_cert != ClientCert::Off && config.tls.client_ca_file.is_none(),
        "tls.client_cert",
        "needs tls.client_ca_file",
    );
    refuse_if(
        config.limits.session_expiry_secs_default > config.limits.session_expiry_secs_max,
        "limits.session_expiry_secs_default",
        "is longer than limits.session_expiry_secs_max",
    );
    refuse_if(
        crate::logging::filter(&config.log.level).is_err(),
        "log.level",
        "is neither a level (error, warn, info, debug, trace) nor a list of target=level",
    );
    found
}
