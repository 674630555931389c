package source

import "tokenmigrate/migrate/connect"

// Row is one row of the source, judged as far as the row alone can tell.
type Row struct {
	// Key is the row's identity: the key column's text; of a composite key both
	// parts with % and / percent-encoded, joined by /.
	Key      string
	Provider string // "" without the column or a value
	// Connector is where the token goes; "" while no route gave one.
	Connector string
	// Token is complete when Reason is "". Else it holds no credential: only
	// Environment and Subject, as far as they are known.
	Token connect.Token
	// MadeUpExpiry: Token.ExpiresAt is the moment of reading plus MissingExpiry,
	// since the row's own expiry is not known.
	MadeUpExpiry bool
	Reason       Reason // "": valid
	Detail       string // one safe sentence about Reason; "" when valid
	// Decrypted and Plain count the row's values that an Opener found encrypted, and
	// opened, and in the clear.
	Decrypted, Plain int

	badKey bool // decrypt_failed, and the keys may be to blame
}

// Reason says why a row is not sent: a reason code of the checkpoint and the
// report. The empty Reason means that nothing speaks against the row.
type Reason string

// The reasons that a row alone decides. All but ReasonExcluded make it invalid.
// Beside these a store has reasons of its own to leave rows out, see
// Options.Skips.
const (
	ReasonMissingAccessToken Reason = "missing_access_token" // NULL or empty
	ReasonMissingSubject     Reason = "missing_subject"      // a user without id
	ReasonMissingExpiry      Reason = "missing_expiry"       // not known, and Options.MissingExpiry rejects that
	ReasonInvalidExpiry      Reason = "invalid_expiry"       // neither a time nor a number
	ReasonInvalidEnvironment Reason = "invalid_environment"
	ReasonUnknownProvider    Reason = "unknown_provider" // no connector for it
	ReasonInvalidField       Reason = "invalid_field"    // a value that the import schema cannot hold
	ReasonDecryptFailed      Reason = "decrypt_failed"
	ReasonExcluded           Reason = "excluded" // the provider is routed to Skip
)

// Skipped reports whether r leaves a row out on purpose; any other reason, the
// empty one aside, makes the row invalid.
func (r Reason) Skipped() bool {
	switch r {
	case "", ReasonMissingAccessToken, ReasonMissingSubject, ReasonMissingExpiry, ReasonInvalidExpiry,
		ReasonInvalidEnvironment, ReasonUnknownProvider, ReasonInvalidField, ReasonDecryptFailed:
		return false
	}
	return true
}

// Outcome returns the outcome that r decides: "skipped", "invalid", or "" for
// the empty Reason, which decides nothing.
func (r Reason) Outcome() string {
	switch {
	case r == "":
		return ""
	case r.Skipped():
		return "skipped"
	}
	return "invalid"
}
