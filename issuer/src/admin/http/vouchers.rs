//! Making vouchers on the page.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use data_encoding::HEXLOWER;
use http::{HeaderValue, StatusCode, Uri, header};

use super::{
    handlers::frame,
    refusal::Refusal,
    request::{Form, Visitor, parameter},
    response::{html, of_type, see_other},
};
use crate::{
    admin::pages::{
        Place,
        vouchers::{Entered, MAX_COUNT, file_name, made, page},
    },
    issuer::Issuer,
    vouchers::{self, CreateVouchersError, Making},
};

/// `GET /admin/vouchers`
pub(super) async fn show(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    uri: Uri,
) -> Result<Response, Refusal> {
    let number = |name| parameter(&uri, name).and_then(|text| text.parse::<u64>().ok());
    let done = number("cancelled")
        .zip(number("batch"))
        .map(|(cancelled, batch)| format!("{cancelled} vouchers of batch {batch} are cancelled."));
    let entered = Entered { done, ..Entered::new(nonce(&issuer)) };
    answer(&issuer, &visitor, StatusCode::OK, &entered).await
}

/// `POST /admin/vouchers`: the codes are in this answer and nowhere else, so that there is no page to be sent on to. The
/// same form sent again says what it made.
pub(super) async fn make(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Refusal> {
    let form = Form::read(&visitor.cookie, request).await?;
    let chosen = HEXLOWER.decode(form.text("nonce").as_bytes()).ok();
    let chosen: [u8; 16] =
        chosen.and_then(|bytes| bytes.try_into().ok()).ok_or(Refusal::BadForm)?;
    let making = Making {
        operator: None,
        product: form.text("product"),
        // What is no number is none of those that are allowed.
        count: form.text("count").parse().ok().filter(|count| *count <= MAX_COUNT).unwrap_or(0),
        valid_days: form.text("valid_days").parse().unwrap_or(0),
        actor: &visitor.session.name,
        nonce: Some(chosen),
    };
    let inner = &issuer.inner;
    let mut rng = (inner.rng)();
    let (clock, rng) = (&*inner.clock, &mut &mut *rng);
    let wrong = match vouchers::create(&inner.store, making, clock, rng).await {
        Ok(vouchers) if form.text("format") == "csv" => {
            let mut answer =
                of_type(StatusCode::OK, "text/csv; charset=utf-8", vouchers.to_csv().into());
            let file = format!("attachment; filename=\"{}\"", file_name(&vouchers));
            if let Ok(file) = HeaderValue::from_str(&file) {
                answer.headers_mut().insert(header::CONTENT_DISPOSITION, file);
            }
            return Ok(answer);
        }
        Ok(vouchers) => {
            let frame = frame(&issuer, &visitor, Place::Vouchers);
            return Ok(html(StatusCode::OK, made(&frame, &vouchers)));
        }
        Err(CreateVouchersError::Store(error)) => return Err(error.into()),
        Err(CreateVouchersError::Count) => {
            format!("from 1 to {MAX_COUNT} vouchers can be made at once here")
        }
        Err(error @ CreateVouchersError::MadeBefore { batch }) => {
            format!("{error}. If you have not got them, cancel batch {batch} and make another one")
        }
        Err(error) => error.to_string(),
    };
    let entered = Entered {
        product: form.text("product").to_owned(),
        count: form.text("count").to_owned(),
        valid_days: form.text("valid_days").to_owned(),
        wrong: Some(wrong),
        ..Entered::new(nonce(&issuer))
    };
    answer(&issuer, &visitor, StatusCode::UNPROCESSABLE_ENTITY, &entered).await
}

/// `POST /admin/vouchers/cancel`
pub(super) async fn cancel(
    State(issuer): State<Issuer>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Refusal> {
    let form = Form::read(&visitor.cookie, request).await?;
    let batch: u64 = form.text("batch").parse().map_err(|_| Refusal::BadForm)?;
    let actor = visitor.session.name.as_str();
    let cancelled = vouchers::cancel(issuer.store(), batch, actor, &*issuer.inner.clock).await?;
    let cancelled = cancelled.ok_or(Refusal::NotFound)?;
    Ok(see_other(&format!("/admin/vouchers?cancelled={cancelled}&batch={batch}")).into_response())
}

fn nonce(issuer: &Issuer) -> String {
    let mut nonce = [0; 16];
    (issuer.inner.rng)().fill_bytes(&mut nonce);
    HEXLOWER.encode(&nonce)
}

async fn answer(
    issuer: &Issuer,
    visitor: &Visitor,
    status: StatusCode,
    entered: &Entered,
) -> Result<Response, Refusal> {
    let batches = issuer.store().voucher_batches().await?;
    let (frame, today) = (frame(issuer, visitor, Place::Vouchers), issuer.inner.clock.today());
    Ok(html(status, page(&frame, &issuer.manifest(), &batches, today, entered)))
}
