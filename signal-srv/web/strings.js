/**
 * Every word that a person reads or hears, in each language. `{name}` marks a place that `fill` puts a value into.
 */

/** @typedef {keyof typeof en} Key */
/** @typedef {Record<Key, string>} Words */

const en = {
    'cameras.heading': 'Your cameras',
    'cameras.sentence': 'This device remembers them.',
    'enter-code.heading': 'Watch your camera',
    'enter-code.sentence': 'Open the link in the camera’s QR code with this device, or type the code’s digits here.',
    'enter-code.scan': 'Scan the QR code on the camera, or type its digits here.',
    'wrong-code.heading': 'That code doesn’t fit',
    'scanning.heading': 'Scan the code',
    'scanning.sentence': 'Hold the QR code of your camera into the picture. It stays on this device.',
    'connecting.heading': 'Connecting',
    'connecting.sentence': 'The picture will be here in a moment.',
    'waiting.heading': 'Waiting for the camera',
    'waiting.sentence': 'It isn’t online right now. Check its power and network; the picture starts by itself.',
    'waiting.unchecked':
        'It isn’t online, or a digit is mistyped. Compare the digits, or type the last four, the check digits, as well. If they are right, check the camera’s power and network.',
    'live.heading': 'Live picture',
    'live.sentence': 'The camera’s picture is on the screen.',
    'paused.heading': 'Paused',
    'paused.sentence':
        'Somebody at the camera has switched the picture off. As soon as it is switched on again, it comes back by itself.',
    'no-picture.heading': 'The camera has no picture',
    'no-picture.sentence':
        'It is online, but its sensor is unplugged or doesn’t answer. Once the sensor is there again, the picture comes back by itself.',
    'reconnecting.heading': 'Reconnecting',
    'reconnecting.sentence': 'The picture stopped. It comes back by itself.',
    'camera-gone.heading': 'The camera went offline',
    'camera-gone.sentence': 'As soon as it is back, its picture is too. There is nothing you need to do.',
    'impostor.heading': 'This isn’t your camera',
    'impostor.sentence':
        'Something answered in your camera’s place and couldn’t prove to be it. Nothing was shown or sent to it. Try again, check that the code is the one on the label now, or ask whoever runs the server. Once your camera is there, its picture starts by itself.',
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
    'unsupported.sentence':
        'It lacks WebRTC or the encryption that the camera uses. These have both: Chrome and Edge from version 133, Firefox from 130, Safari from 17.',
    'insecure.heading': 'This page needs https',
    'insecure.sentence':
        'Without it, browsers switch the encryption off that keeps the picture yours. Open {secure}, or on the computer that runs the server {local}.',
    'misconfigured.heading': 'This page isn’t set up right',
    'misconfigured.sentence':
        'What it names as its server is no address of one. Whoever hosts the page has to enter one that begins with wss://.',

    'retry.countdown': 'Next try in {seconds} s',
    'retry.now': 'Trying …',

    'action.retry': 'Try again',
    'action.other': 'Enter another code',
    'action.cameras': 'Your cameras',
    'action.add': 'Add another camera',
    'action.scan': 'Scan the code',
    'action.cancel': 'Cancel',
    'action.watch': 'Watch',
    'action.play': 'Tap to play',

    'code.label': 'Camera code',
    'code.placeholder': '0000 0000 0000 …',
    'code.count': '{count} of {need} digits',
    'code.complete': 'All 64 digits are there',
    'code.checked': 'All digits are there and fit together',
    'problem.empty': 'The code is missing. It has 64 digits, 0–9 and a–f.',
    'problem.hex.short': 'The code has 64 digits; this has {have}, so {missing} are missing.',
    'problem.hex.check': 'The four check digits at the end are incomplete: of 68 digits, {missing} are missing.',
    'problem.hex.long': 'The code has 64 digits and four check digits; this has {have}, so {surplus} are too many.',
    'problem.checksum': 'A digit is mistyped: the last four, the check digits, don’t fit the others. Compare them with the label.',
    'problem.link.length': 'The code in a link has 43 characters; this has {have}. Copy the whole link once more.',
    'problem.character': '“{character}” in place {position} isn’t part of a code, which has only 0–9 and a–f.',
    'problem.last': 'The last character of the link, “{character}”, can’t be right. Copy the whole link once more.',

    'scan.foreign': 'That isn’t the code of a Roomcam.',
    'scan.denied': 'This page may not use the device’s camera. Allow it in the browser’s settings, or type the code.',
    'scan.no-camera': 'This device has no camera to scan with. Type the code instead.',
    'scan.failed': 'The device’s camera can’t be used right now; another app may have it. Type the code instead.',
    'scan.nothing': 'No code was found for two minutes, so the camera is off again.',

    'camera.name': 'Camera',
    'keep.tick': 'Remember this camera on this device',
    'keep.label': 'Remember this camera',
    'keep.kept': 'This camera is remembered',
    'keep.meaning': 'Once remembered, it opens here without its code, for everybody who can use this browser.',
    'keep.name': 'Name of this camera',
    'keep.kept-as': 'This device remembers this camera as “{name}”.',
    'keep.forget': 'Forget this camera',
    'keep.forgetful': 'This browser can’t remember cameras, perhaps because this is a private window.',
    'list.rename': 'Rename {name}',
    'list.forget': 'Forget {name}',
    'rename.heading': 'Rename “{name}”',
    'rename.yes': 'Rename',
    'forget.heading': 'Forget “{name}”?',
    'forget.consequence': 'To watch it on this device again you need the code on the camera.',
    'forget.yes': 'Forget',

    'lock.label': 'End-to-end encrypted',
    'lock.meaning':
        'End-to-end encrypted: this camera has proven that it belongs to your code; nobody in between, the server included, can watch.',

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
    'cameras.heading': 'Deine Kameras',
    'cameras.sentence': 'Dieses Gerät merkt sie sich.',
    'enter-code.heading': 'Kamera ansehen',
    'enter-code.sentence': 'Den Link im QR-Code der Kamera mit diesem Gerät öffnen oder die Ziffern des Codes hier eingeben.',
    'enter-code.scan': 'Den QR-Code an der Kamera scannen oder seine Ziffern hier eingeben.',
    'wrong-code.heading': 'Dieser Code passt nicht',
    'scanning.heading': 'Code scannen',
    'scanning.sentence': 'Den QR-Code der Kamera ins Bild halten. Das Bild bleibt auf diesem Gerät.',
    'connecting.heading': 'Verbinden',
    'connecting.sentence': 'Das Bild ist gleich da.',
    'waiting.heading': 'Warten auf die Kamera',
    'waiting.sentence': 'Sie ist gerade nicht online. Strom und Netzwerk prüfen; das Bild startet dann von selbst.',
    'waiting.unchecked':
        'Sie ist nicht online, oder eine Ziffer ist vertippt. Die Ziffern vergleichen oder die letzten vier, die Prüfziffern, mit eingeben. Stimmen sie, dann Strom und Netzwerk der Kamera prüfen.',
    'live.heading': 'Live-Bild',
    'live.sentence': 'Das Bild der Kamera ist zu sehen.',
    'paused.heading': 'Pausiert',
    'paused.sentence':
        'Jemand an der Kamera hat das Bild ausgeschaltet. Sobald es wieder eingeschaltet ist, kommt es von selbst zurück.',
    'no-picture.heading': 'Die Kamera hat kein Bild',
    'no-picture.sentence':
        'Sie ist online, aber ihr Sensor ist abgezogen oder antwortet nicht. Sobald er wieder da ist, kommt das Bild von selbst zurück.',
    'reconnecting.heading': 'Neu verbinden',
    'reconnecting.sentence': 'Das Bild steht gerade. Es kommt von selbst zurück.',
    'camera-gone.heading': 'Die Kamera ist offline',
    'camera-gone.sentence': 'Sobald sie wieder da ist, kommt auch ihr Bild. Es ist nichts weiter zu tun.',
    'impostor.heading': 'Das ist nicht deine Kamera',
    'impostor.sentence':
        'An ihrer Stelle hat etwas geantwortet, das nicht beweisen konnte, sie zu sein. Ihm wurde nichts gezeigt und nichts gesendet. Erneut versuchen, prüfen, ob der Code noch der auf dem Etikett ist, oder beim Betreiber des Servers nachfragen. Sobald deine Kamera da ist, startet ihr Bild von selbst.',
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
        'Ihm fehlt WebRTC oder die Verschlüsselung, die die Kamera nutzt. Beides haben Chrome und Edge ab Version 133, Firefox ab 130, Safari ab 17.',
    'insecure.heading': 'Diese Seite braucht https',
    'insecure.sentence':
        'Ohne https schalten Browser die Verschlüsselung ab, die das Bild schützt. {secure} öffnen, oder auf dem Rechner, auf dem der Server läuft, {local}.',
    'misconfigured.heading': 'Diese Seite ist falsch eingerichtet',
    'misconfigured.sentence':
        'Was sie als ihren Server nennt, ist keine Adresse eines Servers. Wer die Seite bereitstellt, muss eine eintragen, die mit wss:// beginnt.',

    'retry.countdown': 'Nächster Versuch in {seconds} s',
    'retry.now': 'Neuer Versuch …',

    'action.retry': 'Erneut versuchen',
    'action.other': 'Anderen Code eingeben',
    'action.cameras': 'Deine Kameras',
    'action.add': 'Weitere Kamera hinzufügen',
    'action.scan': 'Code scannen',
    'action.cancel': 'Abbrechen',
    'action.watch': 'Ansehen',
    'action.play': 'Zum Abspielen tippen',

    'code.label': 'Kamera-Code',
    'code.placeholder': '0000 0000 0000 …',
    'code.count': '{count} von {need} Ziffern',
    'code.complete': 'Alle 64 Ziffern sind da',
    'code.checked': 'Alle Ziffern sind da und passen zusammen',
    'problem.empty': 'Der Code fehlt. Er hat 64 Ziffern, 0–9 und a–f.',
    'problem.hex.short': 'Der Code hat 64 Ziffern, hier sind es {have}; es fehlen {missing}.',
    'problem.hex.check': 'Die vier Prüfziffern am Ende sind unvollständig: Von 68 Ziffern fehlen {missing}.',
    'problem.hex.long': 'Der Code hat 64 Ziffern und vier Prüfziffern, hier sind es {have}; {surplus} sind zu viel.',
    'problem.checksum': 'Eine Ziffer ist vertippt: Die letzten vier, die Prüfziffern, passen nicht zu den anderen. Mit dem Etikett vergleichen.',
    'problem.link.length': 'Der Code im Link hat 43 Zeichen, hier sind es {have}. Den ganzen Link noch einmal kopieren.',
    'problem.character': '„{character}“ an Stelle {position} gehört in keinen Code; er hat nur 0–9 und a–f.',
    'problem.last': 'Das letzte Zeichen des Links, „{character}“, kann nicht stimmen. Den ganzen Link noch einmal kopieren.',

    'scan.foreign': 'Das ist nicht der Code einer Roomcam.',
    'scan.denied': 'Diese Seite darf die Kamera des Geräts nicht nutzen. In den Einstellungen des Browsers erlauben oder den Code eingeben.',
    'scan.no-camera': 'Dieses Gerät hat keine Kamera zum Scannen. Den Code stattdessen eingeben.',
    'scan.failed': 'Die Kamera des Geräts ist gerade nicht nutzbar; vielleicht hat sie eine andere App. Den Code stattdessen eingeben.',
    'scan.nothing': 'Zwei Minuten lang war kein Code zu sehen, darum ist die Kamera wieder aus.',

    'camera.name': 'Kamera',
    'keep.tick': 'Diese Kamera auf diesem Gerät merken',
    'keep.label': 'Diese Kamera merken',
    'keep.kept': 'Diese Kamera ist gemerkt',
    'keep.meaning': 'Einmal gemerkt, öffnet sie sich hier ohne Code, für alle, die diesen Browser benutzen können.',
    'keep.name': 'Name dieser Kamera',
    'keep.kept-as': 'Dieses Gerät merkt sich diese Kamera als „{name}“.',
    'keep.forget': 'Diese Kamera vergessen',
    'keep.forgetful': 'Dieser Browser kann sich keine Kameras merken, vielleicht weil dies ein privates Fenster ist.',
    'list.rename': '{name} umbenennen',
    'list.forget': '{name} vergessen',
    'rename.heading': '„{name}“ umbenennen',
    'rename.yes': 'Umbenennen',
    'forget.heading': '„{name}“ vergessen?',
    'forget.consequence': 'Um sie auf diesem Gerät wieder anzusehen, ist der Code an der Kamera nötig.',
    'forget.yes': 'Vergessen',

    'lock.label': 'Ende-zu-Ende-verschlüsselt',
    'lock.meaning':
        'Ende-zu-Ende-verschlüsselt: Diese Kamera hat bewiesen, dass sie zu deinem Code gehört; niemand dazwischen, auch nicht der Server, kann zusehen.',

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
