// Verifies a webhook with the standard library: SECRET and SIGNATURE in the environment, the body on standard input.
// Exits with 0 if it is genuine, with 1 if not. In a server, `isGenuine` is what you need.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
)

// isGenuine says whether the body, byte by byte as it came, was signed with secret, the whole `whsec_…`, by the header
// X-AVYCENNA-Signature. It says nothing of when: remember the event's id, or check webhook-signature as well.
func isGenuine(secret string, body []byte, header string) bool {
	given, err := hex.DecodeString(strings.TrimPrefix(header, "sha256="))
	if err != nil || !strings.HasPrefix(header, "sha256=") {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	// In constant time.
	return hmac.Equal(mac.Sum(nil), given)
}

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil || !isGenuine(os.Getenv("SECRET"), body, os.Getenv("SIGNATURE")) {
		os.Exit(1)
	}
}
