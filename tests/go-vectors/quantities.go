package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// oddQuantities are worth testing by name.
var oddQuantities = []string{
	"0", "-0", "+0", "0Ki", "0.0", "0e5", "00", "0.5", ".5", "5.", "+5", "05", "-1", "1.5", "1.500", "1.50", "0.500",
	"1.000", "1000", "1000m", "1k", "1e3", "1E3", "1e+3", "1e-3", "12E7", "1e9", "1e-9", "1e-10", "1e100", "1e-100",
	"100E", "1000E", "1E", "1e18", "0.1m", "0.1n", "0.0000000001", "-0.1n", "100m", "50m", "1u", "1n", "999999999n",
	"1Ki", "8Ki", "7Ki", "1000Ki", "1024Ki", "1024Mi", "1000Mi", "1025Mi", "1.5Gi", "0.5Gi", "0.1Ki", "1.1Ki", "+1Mi",
	"007Mi", "1.Mi", ".5Mi", "-1Ki", "-1.5Ki", "-1024Mi", "0.0001Ki", "1Ti", "999Ti", "1Pi", "1Ei", "7Ei", "8Ei", "-8Ei",
	"9223372036854775807", "9223372036854775808", "-9223372036854775809", "123456789012345678901234567890",
	"1234567890123.456789012345678901", "99999999999999999999Ei", "0.000000000000000000000000000001Gi",
}

// quantityText gives a text that the pattern of quantities in CRD schemas lets pass.
func quantityText(random *rand.Rand) string {
	digits := func(most int) string {
		var out strings.Builder
		for range random.Intn(most + 1) {
			if random.Intn(3) == 0 {
				out.WriteByte('0')
			} else {
				out.WriteByte(byte('0' + random.Intn(10)))
			}
		}
		return out.String()
	}
	choose := func(choices ...string) string { return choices[random.Intn(len(choices))] }
	whole, part := digits(random.Intn(16)+1), ""
	if random.Intn(2) == 0 {
		part = digits(random.Intn(12) + 1)
	}
	number := whole
	switch {
	case whole == "" && part == "":
		number = choose("0", "1", "8", "64")
	case part != "":
		number = whole + "." + part
	case random.Intn(8) == 0:
		number = whole + "."
	}
	suffix := choose("", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e")
	if suffix == "e" {
		suffix = choose("e", "E") + choose("", "+", "-") + fmt.Sprint(random.Intn(30))
	}
	return choose("", "", "", "", "-", "+") + number + suffix
}

// quantityVectors writes a text and its encoding a line.
func quantityVectors(out *bytes.Buffer, random *rand.Rand) error {
	texts := append([]string{}, oddQuantities...)
	for range 2500 {
		texts = append(texts, quantityText(random))
	}
	for _, text := range texts {
		var quantity resource.Quantity
		if err := json.Unmarshal([]byte(`"`+text+`"`), &quantity); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
		encoded, err := json.Marshal(quantity)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\t%s\n", text, strings.Trim(string(encoded), `"`))
	}
	return nil
}

// sumVectors writes `a`, `b`, `n` and the encoding of `a × n + b` a line. Sums that fit no 128-bit
// integer are left out.
func sumVectors(out *bytes.Buffer, random *rand.Rand) error {
	for range 600 {
		first, second, times := quantityText(random), quantityText(random), random.Int63n(200)
		sum := resource.MustParse(first)
		sum.Mul(times)
		sum.Add(resource.MustParse(second))
		exact := sum.DeepCopy()
		if exact.AsDec().UnscaledBig().BitLen() > 126 {
			continue
		}
		fmt.Fprintf(out, "%s\t%s\t%d\t%s\n", first, second, times, sum.String())
	}
	return nil
}
