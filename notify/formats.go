package notify

import (
	"strings"

	"github.com/migration-proxy/migration-proxy/journal"
)

// object is a JSON object; its keys are sorted in the text.
type object = map[string]any

// The bounds of the texts of Slack's blocks, in characters.
const (
	maxSlackHeader  = 150
	maxSlackSection = 3000
)

// slackMessage is for an incoming webhook of Slack. Plain text knows no markup; only
// "text", which is for notifications of phones, does, and Slack has three characters
// that must be escaped there.
func slackMessage(entry journal.Entry) any {
	plain := func(text string, limit int) object {
		return object{"type": "plain_text", "text": cut(text, limit), "emoji": false}
	}
	var lines []string
	for _, f := range facts(entry) {
		lines = append(lines, f.name+": "+f.value)
	}
	return object{
		"text": slackEscapes.Replace(title(entry)),
		"blocks": []object{
			{"type": "header", "text": plain(title(entry), maxSlackHeader)},
			{"type": "section", "text": plain(strings.Join(lines, "\n"), maxSlackSection)},
		},
	}
}

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func cut(text string, limit int) string {
	if letters := []rune(text); len(letters) > limit {
		return string(letters[:limit-1]) + "…"
	}
	return text
}

// teamsMessage is for a webhook of Teams Workflows: a message with one Adaptive Card.
// Text runs know no Markdown, other than text blocks and facts.
func teamsMessage(entry journal.Entry) any {
	body := []object{richText(object{"type": "TextRun", "text": title(entry), "weight": "Bolder", "size": "Medium"})}
	for _, f := range facts(entry) {
		body = append(body, richText(
			object{"type": "TextRun", "text": f.name + ": ", "isSubtle": true}, object{"type": "TextRun", "text": f.value},
		))
	}
	return object{
		"type": "message",
		"attachments": []object{{
			"contentType": "application/vnd.microsoft.card.adaptive",
			"contentUrl":  nil,
			"content": object{
				"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
				"fallbackText": title(entry), "msteams": object{"width": "Full"}, "body": body,
			},
		}},
	}
}

func richText(runs ...object) object {
	return object{"type": "RichTextBlock", "inlines": runs}
}
