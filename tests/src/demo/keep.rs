//! `--keep`: the network stays up, and here is what to type.

use std::io::Write;

use super::cast::Cast;
use crate::Failure;

pub(super) async fn wait(cast: Cast, quiet: bool) -> Result<(), Failure> {
    let dir = cast.dir().display();
    let text = format!(
        r#"
The network stays up until you press Ctrl-C; its folder {dir} goes with it. In another terminal, in this folder:

  cargo build --release --bins
  export PATH="$PWD/target/release:$PATH"
  export SCRIP_PASSPHRASE='correct horse' SCRIP_WALLET={dir}/wallet-alice

  scrip balance
  scrip queue list
  scrip put README.md --copies 2 --now
  scrip leases
  scrip-issuer --dir {dir}/issuer voucher create --product starter --count 1
  scrip-issuer --dir {dir}/issuer status
  scrip-relay --dir {dir}/second conflicts
"#
    );
    if quiet {
        let _ = writeln!(std::io::stderr(), "{text}");
    } else {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
    scrip_runtime::signals::terminated().await;
    cast.close().await
}
