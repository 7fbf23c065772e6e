//! Files.

use super::{
    arguments::{GetArguments, PutArguments},
    care,
    error::CliError,
    output::{counted, note},
    session::Session,
};
use crate::{FetchOptions, PutOptions, WalletError, fetch_file, link::FileLink};

pub(super) async fn put(session: &Session, arguments: PutArguments) -> Result<(), CliError> {
    let wallet = session.open_online().await?;
    let mut relays = Vec::new();
    for relay in &arguments.relay {
        relays.push(wallet.find_relay(relay).await?);
    }
    let copies = match arguments.copies {
        Some(copies) => copies,
        None if relays.is_empty() => wallet.relays().await?.len().clamp(1, 2) as u8,
        None => u8::try_from(relays.len()).map_err(|_| WalletError::Copies)?,
    };
    let PutArguments { days, pace, .. } = arguments;
    let (doubtful, when) = (session.doubtful, session.when);
    let options = PutOptions { days, copies, relays, doubtful, pace, when };
    let stored = wallet.put_file(&arguments.file, options).await?;
    wallet.close().await?;
    session.output.show(&stored, |stored| {
        note(&format!(
            "Stored {} in {} on {} until {}, for {}.",
            stored.name,
            counted(stored.chunks, "chunk"),
            match stored.relays.len() {
                1 => "1 relay".to_owned(),
                relays => format!("each of {relays} relays"),
            },
            stored.until,
            stored.paid
        ));
        stored.link.clone()
    })
}

pub(super) async fn get(session: &Session, arguments: GetArguments) -> Result<(), CliError> {
    let link: FileLink = arguments.link.parse().map_err(WalletError::Link)?;
    let options = FetchOptions { output: arguments.output, overwrite: arguments.force };
    let network = session.network().await?;
    let fetched = fetch_file(&link, &options, &network, &session.environment).await?;
    session.output.show(&fetched, |fetched| {
        let size = counted(fetched.size, "byte");
        format!("Fetched {} ({size}).", fetched.path.display())
    })
}

pub(super) async fn list(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    care::tend(&wallet).await;
    let files = wallet.files().await?;
    wallet.close().await?;
    session.output.show(&files, |files| {
        if files.is_empty() {
            return "No files.".to_owned();
        }
        let mut text = String::new();
        for file in files {
            let link = file
                .link
                .as_deref()
                .unwrap_or("not stored completely yet: `scrip tend` goes on with it");
            let size = counted(file.size, "byte");
            text += &format!("{} ({size}, {})\n  {link}\n", file.name, file.upload);
        }
        text
    })
}
