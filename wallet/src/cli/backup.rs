//! Backups, and wallets that are made of one.

use std::path::Path;

use scrip_protocol::time::UnixSeconds;
use serde::Serialize;

use super::{error::CliError, output::counted, session::Session};
use crate::{FromBackup, Wallet};

#[derive(Serialize)]
struct BackedUp {
    file: String,
    made: UnixSeconds,
}

pub(super) async fn backup(session: &Session, file: &Path, force: bool) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let made = wallet.backup(file, force).await?;
    wallet.close().await?;
    let backed_up = BackedUp { file: file.display().to_string(), made };
    session.output.show(&backed_up, |backed_up| {
        format!(
            "Everything is in {}, sealed under the wallet's passphrase. It is for when this wallet is lost, \
             with `scrip restore --backup`: what it holds is in doubt then, because it may have been spent since.",
            backed_up.file
        )
    })
}

pub(super) async fn restore(session: &Session, file: &Path) -> Result<(), CliError> {
    let environment = session.environment.clone();
    let passphrase = session.passphrase()?;
    let restored = Wallet::restore_backup(file, &session.directory, passphrase, environment).await;
    let (wallet, found) = restored?;
    wallet.close().await?;
    session.output.show(&found, show)
}

fn show(found: &FromBackup) -> String {
    let mut lines = vec![format!("The wallet is as it was on {}.", found.made)];
    if found.in_doubt.0 > 0 {
        lines.push(format!(
            "{} are in doubt: nobody can tell here what was spent since then. They are not used without \
             --spend-doubtful; where one was spent before, the relay ends what it pays for. `scrip check` looks for them in the vendor's lists.",
            found.in_doubt
        ));
    }
    if found.payments > 0 {
        lines.push(format!(
            "{} under way. `scrip resume` sends the same again, which is never counted twice; unless it had been \
             refused since then, and its certificates spent elsewhere.",
            match found.payments {
                1 => "1 payment was".to_owned(),
                n => format!("{n} payments were"),
            }
        ));
    }
    if found.purchases > 0 {
        let open = counted(found.purchases, "purchase");
        lines.push(format!("Not finished then: {open}. What comes of that is in doubt, too."));
    }
    lines.push(
        "`scrip resume` asks the vendor for what was bought since. Do not use the wallet that the backup was made \
         of any more: two that spend the same certificates lose what they pay for."
            .to_owned(),
    );
    lines.join("\n")
}
