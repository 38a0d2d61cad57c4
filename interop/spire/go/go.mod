// Pins SPIRE's source by its digest (go.sum). Nothing is built from this module itself.
module spire

go 1.26.0

require github.com/spiffe/spire v1.15.3 // indirect
