# METADATA
# title: The example of the founding essay, made safe
# description: |
#   The essay writes `allow` and `deny` side by side. Rego combines them only where somebody says how, and a `deny` on a
#   missing field is undefined, which denies nothing. Here everything is denied by default, one rule decides, and what
#   must never happen is a positive helper that has to hold.
package examples.essay

# METADATA
# title: The answer
# entrypoint: true
result := {"allow": allow, "reasons": reasons, "policy": "finance-prod-v2.3"}

default allow := false

allow if count(reasons) == 0

reasons contains "not_granted" if not granted

reasons contains "action_forbidden" if not harmless

granted if {
	input.principal.class_id == "spiffe://your-org/finance/payment-agent"
	action == "read:transactions"
}

# Denied for every agent, whatever it was granted.
harmless if action != "delete:transactions"

action := concat(":", [input.action.verb, input.action.type])
