# METADATA
# title: What never leaves a stock OPA
# description: |
#   Goes out with the built-in policy. An OPA that we govern drops these members from its decision logs before it
#   uploads them: parameters, properties, headers and bodies may hold anything.
package system.log

mask contains path if some path in {
	"/input/arguments",
	"/input/context",
	"/input/subject/properties",
	"/input/resource/properties",
	"/input/action/properties",
	"/input/attributes",
	"/input/parsed_body",
	"/input/parsed_query",
}
