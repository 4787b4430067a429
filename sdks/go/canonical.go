package guichet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decode reads JSON as the protocol has it: UTF-8, finite numbers that keep their text, and nothing behind it.
func decode(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind it")
	}
	if loneSurrogate(text) {
		return nil, errors.New("half a character is no character")
	}
	return value, checkNumbers(value)
}

// loneSurrogate finds an escape such as \ud800 without its other half, which Go would replace unseen. The text is JSON.
func loneSurrogate(text []byte) bool {
	high := false
	for position := 0; position < len(text); position++ {
		escaped := text[position] == '\\'
		var unit uint64
		if escaped && text[position+1] == 'u' {
			unit, _ = strconv.ParseUint(string(text[position+2:position+6]), 16, 32)
			position += 5
		} else if escaped {
			position++
		}
		low := unit >= 0xdc00 && unit < 0xe000
		if high != low {
			return true
		}
		high = unit >= 0xd800 && unit < 0xdc00
	}
	return high
}

func checkNumbers(value any) error {
	switch value := value.(type) {
	case json.Number:
		_, err := canonicalNumber(value)
		return err
	case []any:
		for _, item := range value {
			if err := checkNumbers(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, member := range value {
			if err := checkNumbers(member); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode writes JSON for the wire.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// plain is a value of any type as the values that decode gives.
func plain(value any) (any, error) {
	text, err := encode(value)
	if err != nil {
		return nil, err
	}
	return decode(text)
}

// canonical is the one way of writing a value that is digested; see "Canonical JSON" in docs/provider-protocol.md.
func canonical(value any) (string, error) {
	var out strings.Builder
	err := writeCanonical(&out, value)
	return out.String(), err
}

// digestOf is "sha256:" and the hash of the canonical text.
func digestOf(value any) (string, error) {
	text, err := canonical(value)
	return digestOfBytes([]byte(text)), err
}

func digestOfBytes(data []byte) string {
	hash := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(hash[:])
}

func writeCanonical(out *strings.Builder, value any) error {
	switch value := value.(type) {
	case nil:
		out.WriteString("null")
	case bool:
		out.WriteString(strconv.FormatBool(value))
	case string:
		writeString(out, value)
	case json.Number:
		text, err := canonicalNumber(value)
		if err != nil {
			return err
		}
		out.WriteString(text)
	case []any:
		out.WriteByte('[')
		for position, item := range value {
			if position > 0 {
				out.WriteByte(',')
			}
			if err := writeCanonical(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case map[string]any:
		names := make([]string, 0, len(value))
		for name := range value {
			names = append(names, name)
		}
		slices.Sort(names)
		out.WriteByte('{')
		for position, name := range names {
			if position > 0 {
				out.WriteByte(',')
			}
			writeString(out, name)
			out.WriteByte(':')
			if err := writeCanonical(out, value[name]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	default:
		again, err := plain(value)
		if err != nil {
			return err
		}
		return writeCanonical(out, again)
	}
	return nil
}

func writeString(out *strings.Builder, text string) {
	out.WriteByte('"')
	for _, character := range text {
		switch {
		case character == '"' || character == '\\':
			out.WriteByte('\\')
			out.WriteRune(character)
		case character >= 0x20:
			out.WriteRune(character)
		case strings.ContainsRune("\b\t\n\f\r", character):
			out.WriteByte('\\')
			out.WriteByte("btn?fr"[character-'\b'])
		default:
			fmt.Fprintf(out, "\\u%04x", character)
		}
	}
	out.WriteByte('"')
}

// canonicalNumber keeps whole numbers of 64 bits; everything else is written with the shortest digits that mean it.
func canonicalNumber(number json.Number) (string, error) {
	text := number.String()
	if !strings.ContainsAny(text, ".eE") && text != "-0" {
		if _, err := strconv.ParseInt(text, 10, 64); err == nil {
			return text, nil
		}
		if _, err := strconv.ParseUint(text, 10, 64); err == nil {
			return text, nil
		}
	}
	float, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(float, 0) {
		return "", fmt.Errorf("the number %.40s is out of range", text)
	}
	return canonicalFloat(float), nil
}

func canonicalFloat(float float64) string {
	if float == 0 {
		if math.Signbit(float) {
			return "-0.0"
		}
		return "0.0"
	}
	sign := ""
	if float < 0 {
		sign, float = "-", -float
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(float, 'e', -1, 64), "e")
	digits := strings.Replace(mantissa, ".", "", 1)
	first, _ := strconv.Atoi(exponent)
	switch {
	case first < -5 || first > 15:
		rest := ""
		if len(digits) > 1 {
			rest = "." + digits[1:]
		}
		return fmt.Sprintf("%s%s%se%+d", sign, digits[:1], rest, first)
	case first < 0:
		return sign + "0." + strings.Repeat("0", -first-1) + digits
	}
	if missing := first + 2 - len(digits); missing > 0 {
		digits += strings.Repeat("0", missing)
	}
	return sign + digits[:first+1] + "." + digits[first+1:]
}
