//! Maps whose keys are not text, as JSON: a list of pairs. And frontiers, as base64url.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) fn serialize<'a, K, V, M, S>(map: &'a M, serializer: S) -> Result<S::Ok, S::Error>
where
    &'a M: IntoIterator<Item = (&'a K, &'a V)>,
    K: Serialize + 'a,
    V: Serialize + 'a,
    S: Serializer,
{
    serializer.collect_seq(map)
}

pub(super) fn deserialize<'de, K, V, M, D>(deserializer: D) -> Result<M, D::Error>
where
    K: Deserialize<'de>,
    V: Deserialize<'de>,
    M: FromIterator<(K, V)>,
    D: Deserializer<'de>,
{
    Ok(<Vec<(K, V)>>::deserialize(deserializer)?.into_iter().collect())
}

pub(super) mod frontier {
    use scrip_protocol::{
        id::{decode_base64url, encode_base64url},
        tlog::tree::Frontier,
    };
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::audit) fn serialize<S: Serializer>(
        frontier: &Frontier,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64url(&frontier.encode()))
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Frontier, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = decode_base64url(&text).ok_or_else(|| D::Error::custom("no base64url"))?;
        Frontier::decode(&bytes).map_err(D::Error::custom)
    }
}
