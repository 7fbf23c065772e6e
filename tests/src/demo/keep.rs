//! `--keep`: the network stays up, and here is what to type.

use super::cast::Cast;
use crate::Failure;

pub(super) async fn wait(cast: Cast, quiet: bool) -> Result<(), Failure> {
    let dir = cast.dir().display();
    let text = format!(
        "
The network stays up until you press Ctrl-C; its folder {dir} goes with it. In another terminal, in this folder:

  export SCRIP_PASSPHRASE='correct horse' SCRIP_ISSUER_PASSPHRASE='correct horse' SCRIP_RELAY_PASSPHRASE='correct horse'
  alias scrip='cargo run -q --release -p scrip-wallet --bin scrip -- --wallet {dir}/wallet-alice'
  alias issuer='cargo run -q --release -p scrip-issuer -- --dir {dir}/issuer'
  alias relay='cargo run -q --release -p scrip-relay -- --dir {dir}/second'

  scrip balance
  scrip queue list
  scrip put README.md --copies 2
  scrip leases
  issuer voucher create --product starter --count 1
  issuer status
  relay conflicts
"
    );
    if quiet {
        eprintln!("{text}");
    } else {
        println!("{text}");
    }
    scrip_runtime::signals::terminated().await;
    cast.close().await
}
