//! Message queues.

use std::io::{IsTerminal, Read};

use scrip_protocol::id::{MessageId, encode_base64url};
use serde::Serialize;

use super::{
    arguments::QueueCreateArguments,
    care,
    error::CliError,
    output::{note, printable, table},
    session::Session,
};
use crate::{Mailbox, NewQueue, Received, link::QueueLink, send_to_queue};

pub(super) async fn create(
    session: &Session,
    arguments: QueueCreateArguments,
) -> Result<(), CliError> {
    let wallet = session.open_online().await?;
    let relay = match &arguments.relay {
        Some(relay) => Some(wallet.find_relay(relay).await?),
        None => None,
    };
    let QueueCreateArguments { name, days, .. } = arguments;
    let accept_excess = session.accept_excess;
    let (doubtful, when) = (session.doubtful, session.when);
    let new = NewQueue { name, relay, days, doubtful, accept_excess, when };
    let queue = wallet.create_queue(new).await?;
    wallet.close().await?;
    session.output.show(&queue, |queue| {
        format!(
            "Queue {} at {} until {}, for {}.\nGive this link to whoever shall send to it:\n{}",
            queue.name, queue.relay.authority, queue.until, queue.paid, queue.link
        )
    })
}

pub(super) async fn send(
    session: &Session,
    link: &str,
    text: Option<String>,
) -> Result<(), CliError> {
    let link: QueueLink = link.parse().map_err(crate::WalletError::Link)?;
    let text = match text {
        Some(text) if text != "-" => text.into_bytes(),
        _ => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .read_to_end(&mut bytes)
                .map_err(|source| CliError::Read { path: "standard input".into(), source })?;
            bytes
        }
    };
    let network = session.network().await?;
    send_to_queue(&link, &text, &network, &session.environment).await?;
    #[derive(Serialize)]
    struct Sent {
        bytes: usize,
    }
    session.output.show(&Sent { bytes: text.len() }, |_| "Sent.".to_owned())
}

/// A message in JSON: as text where it is text.
#[derive(Serialize)]
struct Message {
    id: MessageId,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn receive(session: &Session, queue: &str, all: bool) -> Result<(), CliError> {
    let wallet = session.open_online().await?;
    let mailbox = wallet.mailbox(queue).await?;
    let mut count = 0;
    let result = take_out(session, &mailbox, all, &mut count).await;
    if session.output.json && (result.is_ok() || count > 0) {
        // Also after an error, what was shown is whole.
        session.output.write(if count == 0 { b"{\"messages\":[]}\n" } else { b"]}\n" })?;
    }
    result?;
    wallet.close().await?;
    if !session.output.json && count == 0 {
        note("The queue is empty.");
    }
    Ok(())
}

/// Shows one message or all, and counts those that were shown.
async fn take_out(
    session: &Session,
    mailbox: &Mailbox,
    all: bool,
    count: &mut usize,
) -> Result<(), CliError> {
    while all || *count == 0 {
        let Some(message) = mailbox.next().await? else { break };
        print(session, &message, *count == 0)?;
        *count += 1;
        // Only what was shown is taken out of the queue.
        mailbox.acknowledge(&message.id).await?;
    }
    Ok(())
}

fn print(session: &Session, message: &Received, first: bool) -> Result<(), CliError> {
    let output = session.output;
    if output.json {
        let json = serde_json::to_vec(&in_json(message));
        let json = json.map_err(|error| CliError::Output(error.into()))?;
        let before: &[u8] = if first { b"{\"messages\":[\n" } else { b",\n" };
        return output.write(&[before, &json].concat());
    }
    match &message.text {
        Ok(text) if std::io::stdout().is_terminal() => {
            output.write(printable(&String::from_utf8_lossy(text)).as_bytes())?;
            output.write(b"\n")
        }
        Ok(text) => {
            output.write(text)?;
            output.write(if text.ends_with(b"\n") { b"" } else { b"\n" })
        }
        Err(error) => {
            note(&format!("warning: {error}; it is taken out of the queue"));
            Ok(())
        }
    }
}

fn in_json(message: &Received) -> Message {
    let text = message.text.as_ref().ok().and_then(|text| std::str::from_utf8(text).ok());
    let bytes = message.text.as_ref().ok().filter(|_| text.is_none());
    Message {
        id: message.id,
        text: text.map(str::to_owned),
        base64url: bytes.map(|bytes| encode_base64url(bytes)),
        error: message.text.as_ref().err().map(ToString::to_string),
    }
}

pub(super) async fn delete(session: &Session, queue: &str) -> Result<(), CliError> {
    let wallet = session.open_online().await?;
    let queue = wallet.delete_queue(queue).await?;
    wallet.close().await?;
    session.output.show(&queue, |queue| format!("Queue {} is gone.", queue.name))
}

pub(super) async fn list(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    care::tend(&wallet).await;
    let queues = wallet.queues().await?;
    wallet.close().await?;
    session.output.show(&queues, |queues| {
        if queues.is_empty() {
            return "No queues.".to_owned();
        }
        let rows: Vec<Vec<String>> = queues
            .iter()
            .map(|queue| {
                let state = if queue.live { "live" } else { "ended" };
                let until = queue.until;
                vec![queue.name.clone(), state.to_owned(), until.to_string(), queue.link.clone()]
            })
            .collect();
        table(&["name", "state", "until", "link"], &rows)
    })
}
