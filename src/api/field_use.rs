/// What a field of a provider block means to the policy of a ClusterRealtimeProvider. A field that no list names is one
/// that the operator doesn't know: a policy refuses it, unless its `allowedFields` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldUse {
    /// Within what the token is for. The field itself: a scalar, or a list of them.
    Free,
    /// Likewise, with all that is below it.
    FreeBelow,
    /// Likewise, but only with one of these texts; else it is [`Self::Guarded`], for this reason.
    Only(&'static [&'static str], &'static str),
    /// A model, deployment or agent, which `allowedModels` is held against.
    Model,
    /// A room or channel, which `allowedRooms` is held against.
    Room,
    /// Who the token is for, which `allowedIdentities` is held against.
    Identity,
    /// Reaches beyond that, or costs more: why, as part of a sentence. `false` is free.
    Guarded(&'static str),
}

/// The fields of a block by their paths below it, joined by dots. Items of a list have the path of the list.
pub type FieldUses = &'static [(&'static str, FieldUse)];
