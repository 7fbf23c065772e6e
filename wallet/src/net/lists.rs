//! Where lists of voided certificates are read from (voided.md): the vendor, or any copy. Nothing in a copy has to be believed.

use std::{convert::Infallible, path::PathBuf, str::FromStr};

use scrip_runtime::client::{HttpClient, Request};

use super::answer::{CallError, body_of};

/// A place with lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListSource {
    /// The vendor itself, on the way for spending.
    #[default]
    Vendor,
    /// A directory with a copy of a ledger's files, or of those under `voided/`.
    Directory(PathBuf),
    /// The same at a URL.
    Url(String),
}

impl FromStr for ListSource {
    type Err = Infallible;

    /// `http://…` and `https://…` are URLs, all else is a directory.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_url = text.starts_with("http://") || text.starts_with("https://");
        Ok(match is_url {
            true => Self::Url(text.trim_end_matches('/').to_owned()),
            false => Self::Directory(text.into()),
        })
    }
}

/// Reads files of one place.
pub(crate) enum ListReader {
    Directory(PathBuf),
    Http(Box<HttpClient>, String),
}

impl ListReader {
    /// The file `voided/<name>`, of at most `limit` bytes. `None` where there is none.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn get(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, CallError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join("voided").join(name);
                let unreadable = CallError::Invalid("a file of the directory cannot be read");
                match tokio::fs::metadata(&path).await {
                    Ok(found) if found.len() > limit as u64 => {
                        return Err(CallError::Invalid("a file of the directory is too large"));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    Err(_) => return Err(unreadable),
                }
                tokio::fs::read(&path).await.map(Some).map_err(|_| unreadable)
            }
            Self::Http(http, url) => {
                let limit = limit.max(scrip_protocol::limits::MAX_JSON_ANSWER);
                let answer = http.send(Request::get(format!("{url}/voided/{name}"), limit)).await?;
                if answer.status == 404 {
                    return Ok(None);
                }
                Ok(Some(body_of(answer, 200, None)?.into()))
            }
        }
    }
}
