package custom_test

import data.custom

test_small_payments_pass if {
	count(custom.result.reasons) == 0 with input as {"action": {"verb": "pay"}, "arguments": {"amount": 100}}
}

test_larger_payments_wait_for_a_human if {
	asked := {"action": {"verb": "pay"}, "arguments": {"amount": 101}}
	custom.result.reasons == {"approval_required"} with input as asked
	custom.result.allow with input as object.union(asked, {"approved": true})
}

test_very_large_payments_are_denied if {
	asked := {"action": {"verb": "pay"}, "arguments": {"amount": 10001}, "approved": true}
	custom.result.reasons == {"amount_too_large"} with input as asked
}

test_a_payment_without_an_amount_is_denied if {
	not custom.result.allow with input as {"action": {"verb": "pay"}, "arguments": {}, "approved": true}
}

test_other_actions_pass if {
	custom.result.allow with input as {"action": {"verb": "read"}}
}
