//! Buying.

use std::{io::Read, path::Path};

use scrip_protocol::{
    credits::Credits,
    limits::MAX_GRANT_REQUEST,
    purchase::{GrantRequest, OrderAnswer},
};

use super::{
    arguments::{BuyArguments, OrderArguments, RestockArguments},
    error::CliError,
    manifest,
    output::{counted, table},
    session::Session,
};
use crate::{ForSale, OpenOrder, Restocking, When};

pub(super) async fn buy(session: &Session, arguments: BuyArguments) -> Result<(), CliError> {
    let order = arguments.order;
    let quantity = arguments.quantity;
    let proof = proof(arguments)?;
    let wallet = session.open().await?;
    if session.when == When::Now {
        manifest::look_now(&wallet).await?;
    }
    let bought = match proof {
        Some(proof) => wallet.buy_times(proof, order, quantity).await?,
        None => wallet.buy_free().await?,
    };
    let ripe = wallet.balance().await?.ripe;
    wallet.close().await?;
    session.output.show(&bought, |bought| {
        let test = if bought.test { " of test keys, which are worth nothing" } else { "" };
        let mut text = format!(
            "Bought {}: {} in {} certificates{test}.",
            bought.product, bought.credits, bought.certificates
        );
        if let Some(at) = ripe {
            text += &format!(
                "\nThey ripen, each for a time of its own, so that no payment follows its purchase: the last until {at}."
            );
        }
        text
    })
}

pub(super) async fn restock(
    session: &Session,
    arguments: RestockArguments,
) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let RestockArguments { below, voucher, free, off } = arguments;
    let known = wallet.restocking().await?;
    if off {
        wallet.stop_restocking().await?;
    } else if below.is_some() || free || !voucher.is_empty() {
        let mut codes = Vec::new();
        for code in voucher {
            codes.push(if code == "-" {
                read_line(std::io::stdin().lock(), Path::new("standard input"))?
            } else {
                code
            });
        }
        let before = known.as_ref();
        let below = below.map(Credits).or(before.and_then(|known| known.below));
        let free = free || before.is_some_and(|known| known.free);
        wallet.restock(below, free, codes).await?;
    }
    let restocking = wallet.restocking().await?;
    wallet.close().await?;
    session.output.show(&restocking, |restocking| {
        let Some(Restocking { below, free, vouchers }) = restocking else {
            return "The wallet buys nothing by itself, and says when its stock runs low.".to_owned();
        };
        let least = below.map_or("what 30 days used".to_owned(), |below| below.to_string());
        let sources = match (free, vouchers) {
            (false, 0) => return format!(
                "With less than {least} left, the wallet says so; it has nothing to buy with by itself: give it \
                 vouchers, or --free."
            ),
            (true, 0) => "takes the free allowance".to_owned(),
            (false, n) => format!("uses {}", counted(*n, "voucher")),
            (true, n) => format!("uses {}, then takes the free allowance", counted(*n, "voucher")),
        };
        format!("With less than {least} left, the wallet {sources}, at a time of its own (`scrip tend`).")
    })
}

/// What is to be shown to the vendor; `None` for the free allowance.
fn proof(arguments: BuyArguments) -> Result<Option<GrantRequest>, CliError> {
    let BuyArguments { voucher, apple, google, order, free: _, quantity: _ } = arguments;
    if let Some(code) = voucher {
        let code = if code == "-" {
            read_line(std::io::stdin().lock(), Path::new("standard input"))?
        } else {
            code
        };
        return Ok(Some(GrantRequest::Voucher { code }));
    }
    if let Some(path) = apple {
        let file = std::fs::File::open(&path);
        let file = file.map_err(|source| CliError::Read { path: path.clone(), source })?;
        let transaction = read_line(file, &path)?;
        return Ok(Some(GrantRequest::Apple { transaction }));
    }
    if let Some(text) = google {
        let (product, token) = text.split_once(':').ok_or(CliError::GooglePurchase)?;
        let (product, token) = (product.to_owned(), token.to_owned());
        return Ok(Some(GrantRequest::Google { product, token }));
    }
    Ok(order.map(|order| GrantRequest::Order { order }))
}

/// A short text, without what surrounds it.
fn read_line(from: impl Read, name: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = from.take(MAX_GRANT_REQUEST as u64).read_to_string(&mut text);
    read.map_err(|source| CliError::Read { path: name.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

pub(super) async fn offer(session: &Session) -> Result<(), CliError> {
    let wallet = session.open().await?;
    let offer = wallet.offer().await?;
    wallet.close().await?;
    session.output.show(&offer, show_offer)
}

fn show_offer(offer: &ForSale) -> String {
    let rows: Vec<Vec<String>> = offer
        .products
        .iter()
        .map(|product| {
            let later = product
                .later
                .as_ref()
                .map(|rest| format!(" and {} after {} days", rest.credits, rest.after / 86_400));
            vec![
                product.product.clone(),
                format!("{}{}", product.credits, later.unwrap_or_default()),
                plain(&product.sources.join(", ")),
            ]
        })
        .collect();
    let mut text = table(&["product", "credits", "paid by"], &rows);
    if let Some(free) = &offer.free {
        text += &format!(
            "the product `free` costs nothing every {} days: `scrip buy --free`\n",
            free.period / 86_400
        );
    }
    text
}

pub(super) async fn order(session: &Session, arguments: OrderArguments) -> Result<(), CliError> {
    let wallet = session.open().await?;
    if let Some(order) = arguments.forget {
        wallet.forget_order(&order).await?;
        wallet.close().await?;
        return session.output.show(&order, |order| format!("Forgot the order {order}."));
    }
    let Some(product) = arguments.product else {
        let orders = wallet.orders().await?;
        wallet.close().await?;
        return session.output.show(&orders, |orders| show_orders(orders));
    };
    if session.when == When::Now {
        manifest::look_now(&wallet).await?;
    }
    let order = wallet.order(&product).await?;
    wallet.close().await?;
    session.output.show(&order, show_order)
}

fn show_order(order: &OrderAnswer) -> String {
    let mut lines = vec![format!("Order {} for {}.", order.order, plain(&order.product))];
    for page in &order.pay {
        lines.push(format!("Pay at {}: {}", page.source, page.url));
    }
    lines.push(format!("When it is paid: scrip buy --order {}", order.order));
    lines.join("\n")
}

fn show_orders(orders: &[OpenOrder]) -> String {
    if orders.is_empty() {
        return "No open orders.".to_owned();
    }
    let row =
        |one: &OpenOrder| vec![one.at.to_string(), plain(&one.product), one.order.to_string()];
    table(&["ordered", "product", "order"], &orders.iter().map(row).collect::<Vec<_>>())
}

/// What a vendor wrote, without what would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
