//! What can come between a request and its answer.

use std::{error::Error, time::Duration};

/// Why a client was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The proxy's URL is not understood. It may hold a password and is not repeated.
    #[error(
        "the proxy is not usable; write it as socks5h://host:port (with the `h`, so that host \
         names are resolved by the proxy), for Tor usually socks5h://127.0.0.1:9050"
    )]
    Proxy,
    /// The extra roots are not certificates.
    #[error("the extra root certificates are not usable: {reason}; give certificates in PEM")]
    Roots {
        /// What is wrong.
        reason: String,
    },
    /// The TLS library refuses its own defaults.
    #[error("cannot set up TLS: {0}; this is a fault of the program, please report it")]
    Tls(#[source] rustls::Error),
    /// The HTTP library refuses.
    #[error("cannot set up the HTTP client: {0}; this is a fault of the program, please report it")]
    Build(#[source] reqwest::Error),
}

/// Why there is no answer. It says something about the network, or about the request, and
/// **never** that the other side cheats: it must not count against anybody.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No connection came about: the request was certainly not sent.
    #[error("could not connect to {host}: {reason}; nothing was sent, try again later")]
    NotConnected {
        /// Host and port.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The request may have been received and acted on: repeat the very same bytes.
    #[error(
        "no complete answer from {host}: {reason}; the request may have been received, \
         repeat the same request"
    )]
    Interrupted {
        /// Host and port.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// The answer is longer than the caller accepts. The request was received.
    #[error("the answer is longer than {limit} bytes; it was not read")]
    TooLarge {
        /// The most bytes that the caller accepts.
        limit: usize,
    },
    /// The caller's request may not or cannot be sent; it will not help to repeat it.
    #[error("the request was not sent: {reason}")]
    Refused {
        /// What is wrong with it.
        reason: String,
    },
}

impl TransportError {
    /// Whether it is certain that the other side did not get the request.
    pub const fn certainly_not_sent(&self) -> bool {
        matches!(self, Self::NotConnected { .. } | Self::Refused { .. })
    }

    /// Sorts an error of the HTTP library. In doubt, the request may have been received.
    pub(super) fn of(error: reqwest::Error, host: &str) -> Self {
        let (not_connected, unsendable) = (error.is_connect(), error.is_builder());
        let (host, reason) = (host.to_owned(), chain(&error.without_url()));
        if unsendable {
            Self::Refused { reason }
        } else if not_connected {
            Self::NotConnected { host, reason }
        } else {
            Self::Interrupted { host, reason }
        }
    }

    pub(super) fn no_answer_in(host: &str, limit: Duration) -> Self {
        let reason = format!("nothing came within {} seconds", limit.as_secs_f32());
        Self::Interrupted { host: host.to_owned(), reason }
    }
}

/// An error with all its causes: the outer ones alone say only "error sending request".
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
