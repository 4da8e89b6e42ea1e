/**
 * Every word that a person reads or hears, in each language. `{name}` marks a place that `fill` puts a value into.
 */

/** @typedef {keyof typeof en} Key */
/** @typedef {Record<Key, string>} Words */

const en = {
    'enter-code.heading': 'Watch your camera',
    'enter-code.sentence': 'Scan the code on the camera, or type its 64 digits here.',
    'wrong-code.heading': 'That code doesn’t fit',
    'connecting.heading': 'Connecting',
    'connecting.sentence': 'The picture will be here in a moment.',
    'waiting.heading': 'Waiting for the camera',
    'waiting.sentence': 'It isn’t online right now. Check its power and network; the picture starts by itself.',
    'live.heading': 'Live picture',
    'live.sentence': 'The camera’s picture is on the screen.',
    'reconnecting.heading': 'Reconnecting',
    'reconnecting.sentence': 'The picture paused. It comes back by itself.',
    'camera-gone.heading': 'The camera went offline',
    'camera-gone.sentence': 'As soon as it is back, its picture is too. There is nothing you need to do.',
    'room-full.heading': 'No seat left',
    'room-full.sentence': 'As many people as this camera allows are watching already.',
    'room-full.mode': 'Another program is using this camera right now, in a way that allows no other viewers.',
    'unreachable.heading': 'Can’t reach the server',
    'unreachable.sentence': 'The server that connects you to the camera doesn’t answer.',
    'unreachable.offline': 'This device is offline. Check its Wi-Fi or mobile data.',
    'failed.heading': 'The picture can’t get through',
    'failed.sentence':
        'Camera and server answer, but a network in between blocks the video. Try the Wi-Fi that the camera uses, or switch off a VPN.',
    'unsupported.heading': 'This browser can’t show the picture',
    'unsupported.sentence': 'It lacks WebRTC, which carries the live video. A current Chrome, Firefox, Safari or Edge works.',

    'retry.countdown': 'Next try in {seconds} s',
    'retry.now': 'Trying …',

    'action.retry': 'Try again',
    'action.other': 'Enter another code',
    'action.watch': 'Watch',
    'action.play': 'Tap to play',

    'code.label': 'Camera code',
    'code.placeholder': '0000 0000 0000 …',
    'code.count': '{count} of 64 digits',
    'code.complete': 'All 64 digits are there',
    'problem.empty': 'The code is missing. It has 64 digits, 0–9 and a–f.',
    'problem.hex.short': 'The code has 64 digits; this has {have}, so {missing} are missing.',
    'problem.hex.long': 'The code has 64 digits; this has {have}, so {surplus} are too many.',
    'problem.link.length': 'The code in a link has 43 characters; this has {have}. Copy the whole link once more.',
    'problem.character': '“{character}” in place {position} isn’t part of a code, which has only 0–9 and a–f.',
    'problem.last': 'The last character of the link, “{character}”, can’t be right. Copy the whole link once more.',

    'control.toolbar': 'Picture controls',
    'control.stop': 'Stop watching',
    'control.mute': 'Mute',
    'control.unmute': 'Unmute',
    'control.silent': 'This camera has no sound',
    'control.info': 'Picture details',
    'control.pip': 'Picture in picture',
    'control.fullscreen': 'Full screen',
    'control.windowed': 'Leave full screen',
    'badge.live': 'Live',

    'info.heading': 'Picture details',
    'info.resolution': 'Resolution',
    'info.rate': 'Frames per second',
    'info.bitrate': 'Data rate',
    'info.path': 'Connection',
    'info.path.direct': 'Direct',
    'info.path.relayed': 'Relayed',
    'info.round-trip': 'Round trip',
    'info.none': '–',
};

/** @type {Words} */
const de = {
    'enter-code.heading': 'Kamera ansehen',
    'enter-code.sentence': 'Den Code an der Kamera scannen oder seine 64 Ziffern hier eingeben.',
    'wrong-code.heading': 'Dieser Code passt nicht',
    'connecting.heading': 'Verbinden',
    'connecting.sentence': 'Das Bild ist gleich da.',
    'waiting.heading': 'Warten auf die Kamera',
    'waiting.sentence': 'Sie ist gerade nicht online. Strom und Netzwerk prüfen; das Bild startet dann von selbst.',
    'live.heading': 'Live-Bild',
    'live.sentence': 'Das Bild der Kamera ist zu sehen.',
    'reconnecting.heading': 'Neu verbinden',
    'reconnecting.sentence': 'Das Bild steht gerade. Es kommt von selbst zurück.',
    'camera-gone.heading': 'Die Kamera ist offline',
    'camera-gone.sentence': 'Sobald sie wieder da ist, kommt auch ihr Bild. Es ist nichts weiter zu tun.',
    'room-full.heading': 'Kein Platz mehr frei',
    'room-full.sentence': 'Es sehen schon so viele zu, wie diese Kamera erlaubt.',
    'room-full.mode': 'Ein anderes Programm nutzt diese Kamera gerade und lässt keine weiteren Zuschauer zu.',
    'unreachable.heading': 'Server nicht erreichbar',
    'unreachable.sentence': 'Der Server, der die Verbindung zur Kamera herstellt, antwortet nicht.',
    'unreachable.offline': 'Dieses Gerät ist offline. WLAN oder mobile Daten prüfen.',
    'failed.heading': 'Das Bild kommt nicht durch',
    'failed.sentence':
        'Kamera und Server antworten, aber ein Netzwerk dazwischen blockiert das Video. Das WLAN der Kamera nutzen oder ein VPN ausschalten.',
    'unsupported.heading': 'Dieser Browser kann das Bild nicht zeigen',
    'unsupported.sentence':
        'Ihm fehlt WebRTC, das die Live-Bilder überträgt. Ein aktueller Chrome, Firefox, Safari oder Edge kann es.',

    'retry.countdown': 'Nächster Versuch in {seconds} s',
    'retry.now': 'Neuer Versuch …',

    'action.retry': 'Erneut versuchen',
    'action.other': 'Anderen Code eingeben',
    'action.watch': 'Ansehen',
    'action.play': 'Zum Abspielen tippen',

    'code.label': 'Kamera-Code',
    'code.placeholder': '0000 0000 0000 …',
    'code.count': '{count} von 64 Ziffern',
    'code.complete': 'Alle 64 Ziffern sind da',
    'problem.empty': 'Der Code fehlt. Er hat 64 Ziffern, 0–9 und a–f.',
    'problem.hex.short': 'Der Code hat 64 Ziffern, hier sind es {have}; es fehlen {missing}.',
    'problem.hex.long': 'Der Code hat 64 Ziffern, hier sind es {have}; {surplus} sind zu viel.',
    'problem.link.length': 'Der Code im Link hat 43 Zeichen, hier sind es {have}. Den ganzen Link noch einmal kopieren.',
    'problem.character': '„{character}“ an Stelle {position} gehört in keinen Code; er hat nur 0–9 und a–f.',
    'problem.last': 'Das letzte Zeichen des Links, „{character}“, kann nicht stimmen. Den ganzen Link noch einmal kopieren.',

    'control.toolbar': 'Bildsteuerung',
    'control.stop': 'Beenden',
    'control.mute': 'Ton aus',
    'control.unmute': 'Ton an',
    'control.silent': 'Diese Kamera hat keinen Ton',
    'control.info': 'Angaben zum Bild',
    'control.pip': 'Bild im Bild',
    'control.fullscreen': 'Vollbild',
    'control.windowed': 'Vollbild verlassen',
    'badge.live': 'Live',

    'info.heading': 'Angaben zum Bild',
    'info.resolution': 'Auflösung',
    'info.rate': 'Bilder pro Sekunde',
    'info.bitrate': 'Datenrate',
    'info.path': 'Verbindung',
    'info.path.direct': 'Direkt',
    'info.path.relayed': 'Über Relais',
    'info.round-trip': 'Umlaufzeit',
    'info.none': '–',
};

/** @type {Readonly<Record<string, Words>>} */
export const languages = { en, de };

/**
 * The first language of a person's list that there are words for, English otherwise.
 * @param {readonly string[]} preferred tags of BCP 47, such as "de-AT"
 * @returns {{language: string, words: Words}}
 */
export function chooseLanguage(preferred) {
    for (const tag of preferred) {
        const language = tag.toLowerCase().split('-')[0] ?? '';
        const words = Object.hasOwn(languages, language) ? languages[language] : undefined;
        if (words) {
            return { language, words };
        }
    }
    return { language: 'en', words: en };
}

/**
 * @param {string} template
 * @param {Record<string, string | number>} values
 * @returns {string}
 */
export function fill(template, values) {
    return template.replace(/\{(\w+)\}/gu, (place, name) => String(values[name] ?? place));
}
